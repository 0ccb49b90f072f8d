package awstest

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/smithy-go"

	"godwit/internal/landscape"
	"godwit/internal/site"
	"godwit/internal/site/aws/convention"
)

// EC2 is what setting the scene needs of it.
type EC2 interface {
	CreateVpc(context.Context, *ec2.CreateVpcInput, ...func(*ec2.Options)) (*ec2.CreateVpcOutput, error)
	DescribeVpcs(context.Context, *ec2.DescribeVpcsInput, ...func(*ec2.Options)) (*ec2.DescribeVpcsOutput, error)
	DeleteVpc(context.Context, *ec2.DeleteVpcInput, ...func(*ec2.Options)) (*ec2.DeleteVpcOutput, error)
	CreateSubnet(context.Context, *ec2.CreateSubnetInput, ...func(*ec2.Options)) (*ec2.CreateSubnetOutput, error)
	DescribeSubnets(context.Context, *ec2.DescribeSubnetsInput, ...func(*ec2.Options)) (*ec2.DescribeSubnetsOutput, error)
	DeleteSubnet(context.Context, *ec2.DeleteSubnetInput, ...func(*ec2.Options)) (*ec2.DeleteSubnetOutput, error)
	CreateLaunchTemplate(context.Context, *ec2.CreateLaunchTemplateInput, ...func(*ec2.Options)) (*ec2.CreateLaunchTemplateOutput, error)
	DescribeLaunchTemplates(context.Context, *ec2.DescribeLaunchTemplatesInput, ...func(*ec2.Options)) (*ec2.DescribeLaunchTemplatesOutput, error)
	DeleteLaunchTemplate(context.Context, *ec2.DeleteLaunchTemplateInput, ...func(*ec2.Options)) (*ec2.DeleteLaunchTemplateOutput, error)
	CreateTags(context.Context, *ec2.CreateTagsInput, ...func(*ec2.Options)) (*ec2.CreateTagsOutput, error)
	RegisterImage(context.Context, *ec2.RegisterImageInput, ...func(*ec2.Options)) (*ec2.RegisterImageOutput, error)
}

// AutoScaling is what setting the scene needs of it.
type AutoScaling interface {
	CreateAutoScalingGroup(context.Context, *autoscaling.CreateAutoScalingGroupInput, ...func(*autoscaling.Options)) (*autoscaling.CreateAutoScalingGroupOutput, error)
	DescribeAutoScalingGroups(context.Context, *autoscaling.DescribeAutoScalingGroupsInput, ...func(*autoscaling.Options)) (*autoscaling.DescribeAutoScalingGroupsOutput, error)
	DeleteAutoScalingGroup(context.Context, *autoscaling.DeleteAutoScalingGroupInput, ...func(*autoscaling.Options)) (*autoscaling.DeleteAutoScalingGroupOutput, error)
	PutLifecycleHook(context.Context, *autoscaling.PutLifecycleHookInput, ...func(*autoscaling.Options)) (*autoscaling.PutLifecycleHookOutput, error)
}

// LoadBalancing is what setting the scene needs of it.
type LoadBalancing interface {
	CreateTargetGroup(context.Context, *elb.CreateTargetGroupInput, ...func(*elb.Options)) (*elb.CreateTargetGroupOutput, error)
	DescribeTargetGroups(context.Context, *elb.DescribeTargetGroupsInput, ...func(*elb.Options)) (*elb.DescribeTargetGroupsOutput, error)
	DeleteTargetGroup(context.Context, *elb.DeleteTargetGroupInput, ...func(*elb.Options)) (*elb.DeleteTargetGroupOutput, error)
	CreateLoadBalancer(context.Context, *elb.CreateLoadBalancerInput, ...func(*elb.Options)) (*elb.CreateLoadBalancerOutput, error)
	DescribeLoadBalancers(context.Context, *elb.DescribeLoadBalancersInput, ...func(*elb.Options)) (*elb.DescribeLoadBalancersOutput, error)
	DeleteLoadBalancer(context.Context, *elb.DeleteLoadBalancerInput, ...func(*elb.Options)) (*elb.DeleteLoadBalancerOutput, error)
	CreateListener(context.Context, *elb.CreateListenerInput, ...func(*elb.Options)) (*elb.CreateListenerOutput, error)
	DescribeListeners(context.Context, *elb.DescribeListenersInput, ...func(*elb.Options)) (*elb.DescribeListenersOutput, error)
	CreateRule(context.Context, *elb.CreateRuleInput, ...func(*elb.Options)) (*elb.CreateRuleOutput, error)
	DescribeRules(context.Context, *elb.DescribeRulesInput, ...func(*elb.Options)) (*elb.DescribeRulesOutput, error)
	DeleteRule(context.Context, *elb.DeleteRuleInput, ...func(*elb.Options)) (*elb.DeleteRuleOutput, error)
}

// RDS is what setting the scene needs of it.
type RDS interface {
	CreateDBInstance(context.Context, *rds.CreateDBInstanceInput, ...func(*rds.Options)) (*rds.CreateDBInstanceOutput, error)
	DescribeDBInstances(context.Context, *rds.DescribeDBInstancesInput, ...func(*rds.Options)) (*rds.DescribeDBInstancesOutput, error)
	DeleteDBInstance(context.Context, *rds.DeleteDBInstanceInput, ...func(*rds.Options)) (*rds.DeleteDBInstanceOutput, error)
}

// SecretsManager is what setting the scene needs of it.
type SecretsManager interface {
	CreateSecret(context.Context, *secretsmanager.CreateSecretInput, ...func(*secretsmanager.Options)) (*secretsmanager.CreateSecretOutput, error)
	DeleteSecret(context.Context, *secretsmanager.DeleteSecretInput, ...func(*secretsmanager.Options)) (*secretsmanager.DeleteSecretOutput, error)
}

// Provisioner makes of an environment what rollouts find there, by name and tag
// as the Terraform modules do, and no more: no routes, no firewalls.
type Provisioner struct {
	EC2            EC2
	AutoScaling    AutoScaling
	LoadBalancing  LoadBalancing
	RDS            RDS
	SecretsManager SecretsManager
	Landscape      string // its name
	Zones          []string
	// Interval of health checks, in seconds; 10 when 0. Delay of deregistration is AWS's own.
	Interval int32
}

// Bake registers a machine image of a service as a bake does, and returns its id.
func (p *Provisioner) Bake(ctx context.Context, service, digest string) (string, error) {
	name := strings.ReplaceAll(service+"-"+digest, ":", "-")
	out, err := p.EC2.RegisterImage(ctx, &ec2.RegisterImageInput{Name: &name})
	if err != nil {
		return "", err
	}
	// On their own: moto forgets tags that come with the image.
	_, err = p.EC2.CreateTags(ctx, &ec2.CreateTagsInput{Resources: []string{aws.ToString(out.ImageId)},
		Tags: ec2Tags(map[string]string{convention.TagLandscape: p.Landscape, convention.TagService: service, convention.TagImage: digest,
			convention.TagReads: strconv.Itoa(convention.UserDataVersion)})})
	return aws.ToString(out.ImageId), err
}

// scene is an environment that is being made.
type scene struct {
	*Provisioner
	convention.Scope
	landscape *landscape.Landscape
	vpc       string
	subnets   []string
	public    string // ARN of the public load balancer's listener
}

// Apply implements aws.Provisioner.
func (p *Provisioner) Apply(ctx context.Context, l *landscape.Landscape, environment string) error {
	i := slices.IndexFunc(l.Environments, func(e landscape.Environment) bool { return e.Name == environment })
	if i < 0 {
		return fmt.Errorf("environment %s: %w", environment, site.ErrNotFound)
	}
	s := &scene{Provisioner: p, Scope: convention.Scope{Landscape: l.Name, Environment: environment}, landscape: l}
	if err := s.network(ctx, l.Environments[i].Network); err != nil {
		return err
	}
	for _, d := range l.Databases {
		if err := s.database(ctx, d.Name); err != nil {
			return err
		}
	}
	if len(l.Ingresses) > 0 {
		var err error
		if s.public, err = s.listener(ctx, s.LoadBalancer(convention.Public, ""), 443, answer404()); err != nil {
			return err
		}
	}
	for _, service := range l.Services {
		if err := s.service(ctx, service); err != nil {
			return err
		}
	}
	return s.drop(ctx, func(service string) bool {
		return !slices.ContainsFunc(l.Services, func(s landscape.Service) bool { return s.Name == service })
	})
}

// code of an error of AWS; "" of any other.
func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

// unless forgives an error with one of these codes.
func unless(err error, codes ...string) error {
	if slices.Contains(codes, code(err)) {
		return nil
	}
	return err
}

func (s *scene) tags(more ...string) map[string]string {
	t := map[string]string{convention.TagLandscape: s.Scope.Landscape, convention.TagEnvironment: s.Environment}
	for i := 0; i+1 < len(more); i += 2 {
		t[more[i]] = more[i+1]
	}
	return t
}

func ec2Tags(m map[string]string) []ec2types.Tag {
	var out []ec2types.Tag
	for k, v := range m {
		out = append(out, ec2types.Tag{Key: aws.String(k), Value: aws.String(v)})
	}
	return out
}

func elbTags(m map[string]string) []elbtypes.Tag {
	var out []elbtypes.Tag
	for k, v := range m {
		out = append(out, elbtypes.Tag{Key: aws.String(k), Value: aws.String(v)})
	}
	return out
}

func (s *scene) filters() []ec2types.Filter {
	return []ec2types.Filter{{Name: aws.String("tag:" + convention.TagLandscape), Values: []string{s.Scope.Landscape}},
		{Name: aws.String("tag:" + convention.TagEnvironment), Values: []string{s.Environment}}}
}

// network makes the VPC and a subnet in each zone, or finds them.
func (s *scene) network(ctx context.Context, cidr netip.Prefix) error {
	found, err := s.find(ctx)
	if err != nil || found {
		return err
	}
	made, err := s.EC2.CreateVpc(ctx, &ec2.CreateVpcInput{CidrBlock: aws.String(cidr.String()), TagSpecifications: []ec2types.TagSpecification{
		{ResourceType: ec2types.ResourceTypeVpc, Tags: ec2Tags(s.tags())}}})
	if err != nil {
		return err
	}
	s.vpc = *made.Vpc.VpcId
	for i, zone := range s.Zones {
		raw, bits := cidr.Addr().As4(), cidr.Bits()+4
		n := uint32(raw[0])<<24 | uint32(raw[1])<<16 | uint32(raw[2])<<8 | uint32(raw[3])
		n += uint32(i) << (32 - bits)
		part := netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}), bits)
		out, err := s.EC2.CreateSubnet(ctx, &ec2.CreateSubnetInput{VpcId: &s.vpc, AvailabilityZone: &zone, CidrBlock: aws.String(part.String()),
			TagSpecifications: []ec2types.TagSpecification{{ResourceType: ec2types.ResourceTypeSubnet, Tags: ec2Tags(s.tags())}}})
		if err != nil {
			return err
		}
		s.subnets = append(s.subnets, *out.Subnet.SubnetId)
	}
	return nil
}

func (s *scene) find(ctx context.Context) (bool, error) {
	vpcs, err := s.EC2.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{Filters: s.filters()})
	if err != nil || len(vpcs.Vpcs) == 0 {
		return false, err
	}
	s.vpc = *vpcs.Vpcs[0].VpcId
	for in := (&ec2.DescribeSubnetsInput{Filters: s.filters()}); ; {
		part, err := s.EC2.DescribeSubnets(ctx, in)
		if err != nil {
			return false, err
		}
		for _, n := range part.Subnets {
			s.subnets = append(s.subnets, *n.SubnetId)
		}
		if in.NextToken = part.NextToken; in.NextToken == nil {
			break
		}
	}
	slices.Sort(s.subnets)
	return true, nil
}
