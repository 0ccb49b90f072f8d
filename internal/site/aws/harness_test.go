package aws_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"godwit/internal/fleet"
	"godwit/internal/landscape"
	"godwit/internal/site/aws"
	"godwit/internal/site/aws/awsfake"
	"godwit/internal/site/aws/awstest"
	"godwit/internal/site/aws/convention"
)

// Digests of the images that tests roll out.
const (
	good = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	next = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	bad  = "sha256:cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
)

const host = "till.bistro.example"

// bistro has a service that is reached from outside and from inside, and one that
// is reached by nobody.
func bistro() *landscape.Landscape {
	return &landscape.Landscape{Name: "bistro",
		Environments: []landscape.Environment{
			{Name: "test", Network: netip.MustParsePrefix("10.10.0.0/16")}, {Name: "stage", Network: netip.MustParsePrefix("10.20.0.0/16")}},
		Services: []landscape.Service{
			{Name: "till", Port: 8080, Scale: landscape.Scale{Min: 1, Max: 6}, Health: landscape.Health{Path: "/health"}},
			{Name: "kitchen", Port: 8081, Scale: landscape.Scale{Min: 1, Max: 2}, Needs: []landscape.Ref{{Kind: "service", Name: "till"}, {Kind: "database", Name: "till"}}}},
		Databases: []landscape.Database{{Name: "till", Engine: "postgres"}},
		Ingresses: []landscape.Ingress{{Name: "till", Host: host, Service: "till"}},
		AWS:       &landscape.AWS{Region: awstest.Region, Zones: 3, Sizing: landscape.Sizing{Instance: "t3.small", Database: "db.t4g.small", Storage: 20}}}
}

func zones() []string {
	return []string{awstest.Region + "a", awstest.Region + "b", awstest.Region + "c"}
}

// resolve knows the addresses that RDS would give its endpoints: nobody asks the
// internet for names that an emulator made up.
func resolve(_ context.Context, host string) (netip.Addr, error) {
	for _, e := range bistro().Environments {
		if strings.HasPrefix(host, convention.Scope{Landscape: "bistro", Environment: e.Name}.Name("")) {
			return e.Network.Addr().Next(), nil
		}
	}
	return netip.Addr{}, fmt.Errorf("no such host: %s", host)
}

func fakeClients(c *awsfake.Cloud) aws.Clients {
	return aws.Clients{AutoScaling: c.AutoScaling(), EC2: c.EC2(), LoadBalancing: c.LoadBalancing(), CloudWatch: c.CloudWatch(), RDS: c.RDS(),
		SecretsManager: c.SecretsManager(), S3: c.S3(), STS: c.STS()}
}

func fakeProvisioner(c *awsfake.Cloud) *awstest.Provisioner {
	return &awstest.Provisioner{EC2: c.EC2(), AutoScaling: c.AutoScaling(), LoadBalancing: c.LoadBalancing(), RDS: c.RDS(), SecretsManager: c.SecretsManager(),
		Landscape: "bistro", Zones: zones()}
}

// bake registers machine images of all services; those of the bad image never
// answer their health check.
func bake(t testing.TB, c *awsfake.Cloud, p *awstest.Provisioner, digests ...string) map[string]string {
	t.Helper()
	ids := map[string]string{}
	for _, digest := range digests {
		for _, s := range bistro().Services {
			id, err := p.Bake(context.Background(), s.Name, digest)
			if err != nil {
				t.Fatal(err)
			}
			ids[s.Name+" "+digest] = id
			if digest == bad {
				c.SetBehaviour(id, awsfake.Behaviour{Unhealthy: true})
			}
		}
	}
	return ids
}

// request sends one to the public load balancer, and one to the service's own.
func request(ctx context.Context, c *awsfake.Cloud, environment, service string) error {
	scope := convention.Scope{Landscape: "bistro", Environment: environment}
	if err := c.Request(ctx, scope.LoadBalancer(convention.Public, ""), host, "/"); err != nil {
		return err
	}
	return c.Request(ctx, scope.LoadBalancer(convention.Internal, service), service, "/")
}

// release is one of the till in the environment test.
func release(number int, digest string) fleet.Release {
	return fleet.Release{Environment: "test", Service: "till", Number: number, Image: digest, Port: 8080, Count: 2,
		Health: landscape.Health{Path: "/health", Interval: time.Second, Timeout: time.Second}}
}
