package policy_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"godwit/internal/landscape"
	"godwit/internal/site/aws/convention"
	"godwit/internal/site/aws/policy"
)

func TestBistroBreaksNoRule(t *testing.T) {
	t.Parallel()
	breaksNoRule(t, bistro(t))
}

// grill is all that the bistro is not: three zones, networks outside, a VPN, two
// ingresses on one service, one that needs nothing, one that two others need.
const grill = `
landscape "grill" {}

environment "stage" { network = "10.40.0.0/20" }

environment "production" {
  network   = "10.50.0.0/16"
  protected = true
}

service "front" {
  image = "./front"
  port  = 8080
  needs = [service.orders, service.prices, database.sessions]
  env   = { SESSION = env.SESSION_KEY }
}

service "orders" {
  image = "./orders"
  port  = 9000
  needs = [service.prices, database.orders]
}

service "prices" {
  image = "./prices"
  port  = 9001
}

service "printer" {
  image = "./printer"
  port  = 9002
  needs = [database.orders]
}

database "orders" { engine = "postgres" }
database "sessions" { engine = "postgres" }

ingress "shop" {
  host    = "shop.grill.example"
  service = service.front
}

ingress "legacy" {
  host    = "www.grill.example"
  service = service.front
}

aws {
  region = "eu-west-1"
  domain = "grill.example"
  zones  = 3
  oncall = ["oncall@grill.example"]
  nat    = "single"

  environment "production" {
    nat = "zone"
    vpn {
      gateway = "203.0.113.7"
      network = "192.168.10.0/24"
    }
  }

  service "printer" {
    egress = ["198.51.100.0/24", "203.0.113.128/25"]
  }
}
`

func TestGrillBreaksNoRule(t *testing.T) {
	t.Parallel()
	breaksNoRule(t, parse(t, grill))
}

// breaksNoRule: no root of a landscape does, and in each environment those reach
// each other that are declared to, and nobody else.
func breaksNoRule(t *testing.T, l *landscape.Landscape) {
	t.Helper()
	for _, e := range l.Environments {
		t.Run(e.Name, func(t *testing.T) {
			t.Parallel()
			resources := made(t, l, "environments/"+e.Name)
			for _, v := range policy.Check(*resources.all, expected(l, "environments/"+e.Name)) {
				t.Error(v)
			}
			got, want := resources.ways(), declared(l, e.Name)
			if !slices.Equal(got, want) {
				t.Errorf("reachable:\n  %s\ndeclared:\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
			}
			t.Logf("%d resources, %d ways", len(*resources.all), len(got))
		})
	}
	t.Run("account", func(t *testing.T) {
		t.Parallel()
		resources := made(t, l, "account")
		for _, v := range policy.Check(*resources.all, expected(l, account)) {
			t.Error(v)
		}
		t.Logf("%d resources", len(*resources.all))
	})
}

// ways are those that are computed from the resources.
func (r tree) ways() []string {
	r.t.Helper()
	ways, err := policy.Reach(*r.all)
	if err != nil {
		r.t.Fatal(err)
	}
	var all []string
	for _, w := range ways {
		all = append(all, w.String())
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// gateways are the services of AWS that every service reaches; secrets where
// there are some.
var gateways = []string{"autoscaling", "logs", "monitoring", "s3"}

// declared are the ways that there have to be: the edges of the landscape, and
// what they need on AWS.
func declared(l *landscape.Landscape, environment string) []string {
	scope := convention.Scope{Landscape: l.Name, Environment: environment}
	var all []string
	add := func(from, to string, port int) { all = append(all, fmt.Sprintf("%s -> %s:%d", from, to, port)) }
	needed := map[string]int{}
	for _, e := range landscape.Edges(l) {
		to := e.To.Kind + "." + e.To.Name
		if e.From != landscape.Gateway {
			add(e.From.Kind+"."+e.From.Name, to, e.Port)
			if e.To.Kind == "service" {
				needed[e.To.Name] = e.Port
			}
			continue
		}
		add("internet", to, e.Port)
		add("internet.ipv6", to, e.Port)
		add("balancer."+scope.LoadBalancer(convention.Public, ""), to, e.Port)
	}
	for service, port := range needed {
		add("balancer."+scope.LoadBalancer(convention.Internal, service), "service."+service, port)
	}
	in := l.AWS.In(environment)
	for _, s := range l.Services {
		for _, gateway := range gateways {
			add("service."+s.Name, "endpoint."+gateway, 443)
		}
		if len(l.Databases) > 0 {
			add("service."+s.Name, "endpoint.secretsmanager", 443)
		}
		for _, n := range l.AWS.Service(environment, s.Name).Egress {
			if in.NAT != landscape.NATNone {
				add("service."+s.Name, "network."+n.String(), 443)
			}
		}
	}
	if in.VPN != nil {
		for _, d := range l.Databases {
			add("network."+in.VPN.Network.String(), "database."+d.Name, landscape.DatabasePort)
			add("database."+d.Name, "network."+in.VPN.Network.String(), landscape.DatabasePort)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}
