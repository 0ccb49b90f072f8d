package aws_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"godwit/internal/fleet"
	"godwit/internal/site"
	"godwit/internal/site/aws"
	"godwit/internal/site/aws/awstest"
	"godwit/internal/site/sitetest"
)

// diagnosis is what moto lacks: to it every target is healthy. Here those of one
// machine image are not, whatever moto says; all else is moto's own answer.
type diagnosis struct {
	aws.LoadBalancing
	instances aws.EC2
	ill       string // id of the machine image
}

func (d diagnosis) DescribeTargetHealth(ctx context.Context, in *elb.DescribeTargetHealthInput, o ...func(*elb.Options)) (*elb.DescribeTargetHealthOutput, error) {
	out, err := d.LoadBalancing.DescribeTargetHealth(ctx, in, o...)
	if err != nil || len(out.TargetHealthDescriptions) == 0 {
		return out, err
	}
	var ids []string
	for _, t := range out.TargetHealthDescriptions {
		ids = append(ids, *t.Target.Id)
	}
	found, err := d.instances.DescribeInstances(ctx, &ec2.DescribeInstancesInput{InstanceIds: ids})
	if err != nil {
		return nil, err
	}
	images := map[string]string{}
	for _, r := range found.Reservations {
		for _, i := range r.Instances {
			images[*i.InstanceId] = *i.ImageId
		}
	}
	for _, t := range out.TargetHealthDescriptions {
		if images[*t.Target.Id] == d.ill {
			t.TargetHealth.State, t.TargetHealth.Reason = elbtypes.TargetHealthStateEnumUnhealthy, elbtypes.TargetHealthReasonEnumFailedHealthChecks
		}
	}
	return out, nil
}

// unrefreshed answers what moto has no operation for: that no instance refresh is
// under way.
type unrefreshed struct{ aws.AutoScaling }

func (unrefreshed) DescribeInstanceRefreshes(context.Context, *autoscaling.DescribeInstanceRefreshesInput, ...func(*autoscaling.Options)) (*autoscaling.DescribeInstanceRefreshesOutput, error) {
	return &autoscaling.DescribeInstanceRefreshesOutput{}, nil
}

// scribe makes versions of launch templates that moto can launch: it takes no
// SourceVersion, and fails on user data in any version but the first. So the
// source's data is filled in here, and user data is kept here.
type scribe struct {
	aws.EC2
	mu       sync.Mutex
	userData map[string]*string // by template and number
}

func (s *scribe) CreateLaunchTemplateVersion(ctx context.Context, in *ec2.CreateLaunchTemplateVersionInput, o ...func(*ec2.Options)) (*ec2.CreateLaunchTemplateVersionOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	source, err := s.EC2.DescribeLaunchTemplateVersions(ctx, &ec2.DescribeLaunchTemplateVersionsInput{LaunchTemplateId: in.LaunchTemplateId, Versions: []string{*in.SourceVersion}}, o...)
	if err != nil {
		return nil, err
	}
	data := *in.LaunchTemplateData
	data.InstanceType, data.UserData = source.LaunchTemplateVersions[0].LaunchTemplateData.InstanceType, nil
	copied := *in
	copied.LaunchTemplateData = &data
	out, err := s.EC2.CreateLaunchTemplateVersion(ctx, &copied, o...)
	if err != nil {
		return nil, err
	}
	v := out.LaunchTemplateVersion
	s.userData[fmt.Sprint(*v.LaunchTemplateId, *v.VersionNumber)] = in.LaunchTemplateData.UserData
	v.LaunchTemplateData.UserData = in.LaunchTemplateData.UserData
	return out, nil
}

func (s *scribe) DescribeLaunchTemplateVersions(ctx context.Context, in *ec2.DescribeLaunchTemplateVersionsInput, o ...func(*ec2.Options)) (*ec2.DescribeLaunchTemplateVersionsOutput, error) {
	out, err := s.EC2.DescribeLaunchTemplateVersions(ctx, in, o...)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range out.LaunchTemplateVersions {
		v.LaunchTemplateData.UserData = s.userData[fmt.Sprint(*v.LaunchTemplateId, *v.VersionNumber)]
	}
	return out, nil
}

// TestContractOnMoto runs the suite through the SDK's real clients, wire formats
// and all. Moto serves no requests: the subtests that send some are skipped, and
// run on the fake.
func TestContractOnMoto(t *testing.T) {
	t.Parallel()
	m := awstest.StartMoto(t)
	sitetest.Run(t, sitetest.Harness{
		New: func(t *testing.T) site.Site {
			m.Reset(t)
			cfg := m.Config(t)
			machines := ec2.NewFromConfig(cfg)
			p := &awstest.Provisioner{EC2: machines, AutoScaling: autoscaling.NewFromConfig(cfg), LoadBalancing: elb.NewFromConfig(cfg), RDS: rds.NewFromConfig(cfg),
				SecretsManager: secretsmanager.NewFromConfig(cfg), Landscape: "bistro", Zones: zones()}
			ids := map[string]string{}
			for _, digest := range []string{good, bad} {
				for _, service := range bistro().Services {
					id, err := p.Bake(t.Context(), service.Name, digest)
					if err != nil {
						t.Fatal(err)
					}
					ids[service.Name+digest] = id
				}
			}
			clients := aws.NewClients(cfg)
			clients.LoadBalancing = diagnosis{clients.LoadBalancing, clients.EC2, ids["till"+bad]}
			clients.EC2 = &scribe{EC2: clients.EC2, userData: map[string]*string{}}
			clients.AutoScaling = unrefreshed{clients.AutoScaling}
			return aws.New(clients, aws.Options{Landscape: bistro(), Region: awstest.Region, Provisioner: p, Resolve: resolve,
				Poll: 50 * time.Millisecond, Patience: 20 * time.Second})
		},
		Landscape: bistro(), Release: fleet.Release{Port: 8080}, Good: good, Bad: bad, Patience: 2 * time.Minute,
	})
}
