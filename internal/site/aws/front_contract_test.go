package aws_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"godwit/internal/fleet"
	"godwit/internal/site"
	"godwit/internal/site/aws"
	"godwit/internal/site/aws/awsfake"
	"godwit/internal/site/aws/awstest"
	"godwit/internal/site/sitetest"
)

// TestFrontsOnFake: the part of the contract that is about fronts.
func TestFrontsOnFake(t *testing.T) {
	t.Parallel()
	sitetest.RunFronted(t, sitetest.Harness{
		New: func(t *testing.T) site.Site {
			clock := hurried()
			c := awsfake.New(awsfake.Options{Clock: clock, Timings: awsfake.Realistic, Page: 2})
			p := fakeProvisioner(c)
			bake(t, c, p, good)
			return aws.New(fakeClients(c), aws.Options{Landscape: bistro(), Region: awstest.Region, Provisioner: awstest.Fronts{Provisioner: p}, Resolve: resolve,
				Now: clock, Poll: 20 * time.Millisecond, Patience: 20 * time.Second})
		},
		Landscape: bistro(), Release: fleet.Release{Port: 8080}, Good: good,
	})
}

// TestFrontsOnMoto: the same through the SDK's real clients.
func TestFrontsOnMoto(t *testing.T) {
	t.Parallel()
	m := awstest.StartMoto(t)
	sitetest.RunFronted(t, sitetest.Harness{
		New: func(t *testing.T) site.Site {
			m.Reset(t)
			cfg := m.Config(t)
			p := &awstest.Provisioner{EC2: ec2.NewFromConfig(cfg), AutoScaling: autoscaling.NewFromConfig(cfg), LoadBalancing: elb.NewFromConfig(cfg),
				RDS: rds.NewFromConfig(cfg), SecretsManager: secretsmanager.NewFromConfig(cfg), Landscape: "bistro", Zones: zones()}
			for _, service := range bistro().Services {
				if _, err := p.Bake(t.Context(), service.Name, good); err != nil {
					t.Fatal(err)
				}
			}
			clients := aws.NewClients(cfg)
			clients.EC2 = &scribe{EC2: clients.EC2, userData: map[string]*string{}}
			clients.AutoScaling = unrefreshed{clients.AutoScaling}
			return aws.New(clients, aws.Options{Landscape: bistro(), Region: awstest.Region, Provisioner: awstest.Fronts{Provisioner: p}, Resolve: resolve,
				Poll: 50 * time.Millisecond, Patience: 20 * time.Second})
		},
		Landscape: bistro(), Release: fleet.Release{Port: 8080}, Good: good, Patience: 2 * time.Minute,
	})
}
