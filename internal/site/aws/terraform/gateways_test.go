package terraform_test

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"godwit/internal/site/aws/policy"
	"godwit/internal/site/aws/terraform/tofutest"
)

const (
	moving      = "testdata/golden/moving/landscape.hcl"
	production  = "environments/production"
	ingressFile = production + "/ingress.tf"
)

// TestGateways makes an environment that gateways stand before: each client has
// the same rate, whether he comes by himself or through a gateway, and cannot
// come off better by saying that he is another. When the gateways are gone, the
// firewall lets go of them before they are deleted.
func TestGateways(t *testing.T) {
	t.Parallel()
	l := parse(t, moving)
	w := tofutest.New(t, render(t, l))
	w.Init(production)
	w.Apply(production, nil)
	w.Same(production, nil)

	acl := firewall(t, w)
	all := client{from: "198.51.100.1", path: "/menu"}
	for name, c := range map[string]struct {
		client
		want map[string]string // rules that count the request, and whom they take it for
	}{
		"by himself":                    {all, map[string]string{"rate": "198.51.100.1"}},
		"by himself by IPv6":            {client{from: "2001:db8:1::1", path: "/"}, map[string]string{"rate": "2001:db8:1::1"}},
		"says that he is another":       {client{"198.51.100.1", "192.0.2.9", "/menu"}, map[string]string{"rate": "198.51.100.1"}},
		"says that he is the gateway":   {client{"198.51.100.1", "203.0.113.7", "/menu"}, map[string]string{"rate": "198.51.100.1"}},
		"beside the gateway":            {client{"203.0.113.6", "192.0.2.9", "/menu"}, map[string]string{"rate": "203.0.113.6"}},
		"through a gateway":             {client{"203.0.113.7", "192.0.2.9", "/menu"}, map[string]string{"gateways-rate": "192.0.2.9"}},
		"through one of two":            {client{"203.0.113.9", "192.0.2.9", "/menu"}, map[string]string{"gateways-rate": "192.0.2.9"}},
		"through a gateway by IPv6":     {client{"2001:db8::7", "192.0.2.9", "/menu"}, map[string]string{"gateways-rate": "192.0.2.9"}},
		"an order by himself":           {client{from: "198.51.100.1", path: "/orders"}, map[string]string{"rate": "198.51.100.1", "limit-orders": "198.51.100.1"}},
		"an order through a gateway":    {client{"203.0.113.7", "192.0.2.9", "/orders"}, map[string]string{"gateways-rate": "192.0.2.9", "gateways-limit-orders": "192.0.2.9"}},
		"an order, by IPv6":             {client{"2001:db8::7", "2001:db8:1::1", "/orders"}, map[string]string{"gateways-rate": "2001:db8:1::1", "gateways-limit-orders": "2001:db8:1::1"}},
		"a gateway that says of nobody": {client{from: "203.0.113.7", path: "/menu"}, nil},
	} {
		if got := acl.counts(t, c.client); !maps.Equal(got, c.want) {
			t.Errorf("%s is counted by %v, want %v", name, got, c.want)
		}
	}

	l.AWS.Environments[0].Gateways = nil
	w.Put(ingressFile, render(t, l)[ingressFile])
	out, err := w.Try(production, "apply", "-input=false", "-no-color", "-auto-approve")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	changed, deleted := strings.Index(out, "aws_wafv2_web_acl.this: Modifications complete"), strings.Index(out, `aws_wafv2_ip_set.gateways["ipv4"]: Destroying`)
	if changed < 0 || deleted < changed {
		t.Errorf("a set is deleted while the firewall names it:\n%s", out)
	}
	acl = firewall(t, w)
	if got := acl.counts(t, client{"203.0.113.7", "192.0.2.9", "/orders"}); !maps.Equal(got, map[string]string{"rate": "203.0.113.7", "limit-orders": "203.0.113.7"}) {
		t.Errorf("without gateways a request is counted by %v", got)
	}
}

// TestNames: names lead to an environment only where they may; then the records
// are added, and nothing else changes.
func TestNames(t *testing.T) {
	t.Parallel()
	l := parse(t, moving)
	w := tofutest.New(t, render(t, l))
	w.Init(production)
	w.Apply(production, nil)
	records := func() (leading, proofs int) {
		for _, r := range policy.FromState(w.State(production)) {
			if r.Type == "aws_route53_record" && r.Values.Text("name") == "till.moving.example" {
				leading++
			}
			if r.Type == "aws_route53_record" && strings.Contains(r.Address, ".proof[") {
				proofs++
			}
		}
		return leading, proofs
	}
	if leading, proofs := records(); leading != 0 || proofs != 1 {
		t.Errorf("%d records turn clients, and %d prove the certificate", leading, proofs)
	}
	if name, _ := w.State(production).Values.Outputs["load_balancer"].Value.(string); name == "" {
		t.Error("nobody says where the data centre's gateway shall send requests")
	}

	l.AWS.Environments[0].NoDNS = false
	w.Put(ingressFile, render(t, l)[ingressFile])
	for _, change := range w.Plan(production, nil).ResourceChanges {
		if !change.Change.Actions.NoOp() && !(change.Change.Actions.Create() && change.Type == "aws_route53_record") {
			t.Errorf("%s: %v", change.Address, change.Change.Actions)
		}
	}
	w.Apply(production, nil)
	if leading, proofs := records(); leading != 2 || proofs != 1 {
		t.Errorf("afterwards %d records lead here, and %d prove the certificate", leading, proofs)
	}
}

// client of the firewall: where his request comes from, what it says of him.
type client struct{ from, forwarded, path string }

// acl is a firewall for requests, as WAF reads it.
type acl struct {
	rules []policy.Values
	sets  map[string][]netip.Prefix
}

func firewall(t *testing.T, w *tofutest.Workspace) acl {
	t.Helper()
	a := acl{sets: map[string][]netip.Prefix{}}
	for _, r := range policy.FromState(w.State(production)) {
		switch r.Type {
		case "aws_wafv2_web_acl":
			a.rules = r.Values.Blocks("rule")
		case "aws_wafv2_ip_set":
			for _, s := range r.Values.Texts("addresses") {
				a.sets[r.Values.Text("arn")] = append(a.sets[r.Values.Text("arn")], netip.MustParsePrefix(s))
			}
			if (r.Values.Text("ip_address_version") == "IPV6") != slices.ContainsFunc(a.sets[r.Values.Text("arn")], func(p netip.Prefix) bool { return p.Addr().Is6() }) {
				t.Errorf("%s mixes families: %v", r.Address, a.sets)
			}
		}
	}
	return a
}

// counts are the rate rules that count a request, with what they take the client
// to be.
func (a acl) counts(t *testing.T, c client) map[string]string {
	t.Helper()
	var all map[string]string
	for _, rule := range a.rules {
		rate := rule.Block("statement").Block("rate_based_statement")
		if rate == nil || !a.matches(t, rate.Block("scope_down_statement"), c) {
			continue
		}
		who := c.from
		if rate.Text("aggregate_key_type") == "FORWARDED_IP" {
			// Without the header the rule is not applied, whatever its fallback.
			if who = c.forwarded; who == "" {
				continue
			}
		}
		if all == nil {
			all = map[string]string{}
		}
		all[rule.Text("name")] = who
	}
	return all
}

// matches evaluates a statement; one that is not there matches all.
func (a acl) matches(t *testing.T, s policy.Values, c client) bool {
	t.Helper()
	within := func(name string) []policy.Values { return s.Block(name).Blocks("statement") }
	match := func(one policy.Values) bool { return a.matches(t, one, c) }
	switch {
	case s == nil:
		return true
	case len(within("and_statement")) > 1:
		return !slices.ContainsFunc(within("and_statement"), func(one policy.Values) bool { return !match(one) })
	case len(within("or_statement")) > 1:
		return slices.ContainsFunc(within("or_statement"), match)
	case len(within("not_statement")) == 1:
		return !match(within("not_statement")[0])
	case s.Block("ip_set_reference_statement") != nil:
		set := a.sets[s.Block("ip_set_reference_statement").Text("arn")]
		return slices.ContainsFunc(set, func(p netip.Prefix) bool { return p.Contains(netip.MustParseAddr(c.from)) })
	case s.Block("byte_match_statement").Text("positional_constraint") == "STARTS_WITH":
		return strings.HasPrefix(c.path, s.Block("byte_match_statement").Text("search_string"))
	}
	t.Fatalf("WAF takes no such statement, or the test does not know it: %v", s)
	return false
}
