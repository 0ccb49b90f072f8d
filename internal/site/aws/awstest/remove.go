package awstest

import (
	"context"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	astypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	rdstypes "github.com/aws/aws-sdk-go-v2/service/rds/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"godwit/internal/site/aws/convention"
)

// Remove implements aws.Provisioner.
func (p *Provisioner) Remove(ctx context.Context, environment string) error {
	s := &scene{Provisioner: p, Scope: convention.Scope{Landscape: p.Landscape, Environment: environment}}
	if found, err := s.find(ctx); err != nil || !found {
		return err
	}
	if err := s.drop(ctx, func(string) bool { return true }); err != nil {
		return err
	}
	if err := s.dropBalancer(ctx, s.LoadBalancer(convention.Public, "")); err != nil {
		return err
	}
	if err := s.dropDatabases(ctx); err != nil {
		return err
	}
	for _, id := range s.subnets {
		if _, err := s.EC2.DeleteSubnet(ctx, &ec2.DeleteSubnetInput{SubnetId: &id}); err != nil {
			return err
		}
	}
	_, err := s.EC2.DeleteVpc(ctx, &ec2.DeleteVpcInput{VpcId: &s.vpc})
	return err
}

// held says whether a group holds a release: then its service is being withdrawn,
// and goes on until that is done.
func held(g astypes.AutoScalingGroup) bool { return tagged(g, convention.TagRelease) != "" }

func tagged(g astypes.AutoScalingGroup, key string) string {
	for _, t := range g.Tags {
		if aws.ToString(t.Key) == key {
			return aws.ToString(t.Value)
		}
	}
	return ""
}

// drop removes services: those that hold no release when the environment stays.
func (s *scene) drop(ctx context.Context, which func(service string) bool) error {
	by := map[string][]astypes.AutoScalingGroup{}
	in := &autoscaling.DescribeAutoScalingGroupsInput{Filters: []astypes.Filter{
		{Name: aws.String("tag:" + convention.TagLandscape), Values: []string{s.Scope.Landscape}}, {Name: aws.String("tag:" + convention.TagEnvironment), Values: []string{s.Environment}}}}
	for {
		out, err := s.AutoScaling.DescribeAutoScalingGroups(ctx, in)
		if err != nil {
			return err
		}
		for _, g := range out.AutoScalingGroups {
			service := tagged(g, convention.TagService)
			by[service] = append(by[service], g)
		}
		if out.NextToken == nil {
			break
		}
		in.NextToken = out.NextToken
	}
	for service, groups := range by {
		if !which(service) || s.landscape != nil && slices.ContainsFunc(groups, held) {
			continue
		}
		if err := s.dropService(ctx, service, groups); err != nil {
			return err
		}
	}
	return nil
}

func (s *scene) dropService(ctx context.Context, service string, groups []astypes.AutoScalingGroup) error {
	for _, g := range groups {
		if _, err := s.AutoScaling.DeleteAutoScalingGroup(ctx, &autoscaling.DeleteAutoScalingGroupInput{
			AutoScalingGroupName: g.AutoScalingGroupName, ForceDelete: aws.Bool(true)}); err != nil {
			return err
		}
	}
	if err := s.dropBalancer(ctx, s.LoadBalancer(convention.Internal, service)); err != nil {
		return err
	}
	for _, face := range []convention.Face{convention.Public, convention.Internal} {
		for _, c := range convention.Colours {
			if err := s.dropTargetGroup(ctx, s.TargetGroup(service, face, c)); err != nil {
				return err
			}
		}
	}
	_, err := s.EC2.DeleteLaunchTemplate(ctx, &ec2.DeleteLaunchTemplateInput{LaunchTemplateName: aws.String(s.LaunchTemplate(service))})
	return unless(err, "InvalidLaunchTemplateName.NotFoundException")
}

func (s *scene) dropBalancer(ctx context.Context, name string) error {
	found, err := s.LoadBalancing.DescribeLoadBalancers(ctx, &elb.DescribeLoadBalancersInput{Names: []string{name}})
	if err != nil {
		return unless(err, "LoadBalancerNotFound")
	}
	for _, b := range found.LoadBalancers {
		if _, err := s.LoadBalancing.DeleteLoadBalancer(ctx, &elb.DeleteLoadBalancerInput{LoadBalancerArn: b.LoadBalancerArn}); err != nil {
			return err
		}
	}
	return nil
}

// dropTargetGroup removes it, and first the rules that forward to it.
func (s *scene) dropTargetGroup(ctx context.Context, name string) error {
	found, err := s.LoadBalancing.DescribeTargetGroups(ctx, &elb.DescribeTargetGroupsInput{Names: []string{name}})
	if err != nil {
		return unless(err, "TargetGroupNotFound")
	}
	for _, tg := range found.TargetGroups {
		for _, balancer := range tg.LoadBalancerArns {
			if err := s.dropRules(ctx, balancer, *tg.TargetGroupArn); err != nil {
				return err
			}
		}
		if _, err := s.LoadBalancing.DeleteTargetGroup(ctx, &elb.DeleteTargetGroupInput{TargetGroupArn: tg.TargetGroupArn}); err != nil {
			return err
		}
	}
	return nil
}

func (s *scene) dropRules(ctx context.Context, balancer, targetGroup string) error {
	listeners, err := s.LoadBalancing.DescribeListeners(ctx, &elb.DescribeListenersInput{LoadBalancerArn: &balancer})
	if err != nil {
		return unless(err, "LoadBalancerNotFound")
	}
	for _, l := range listeners.Listeners {
		rules, err := s.rules(ctx, l.ListenerArn)
		if err != nil {
			return err
		}
		for _, r := range rules {
			for _, a := range r.Actions {
				if a.ForwardConfig == nil || aws.ToBool(r.IsDefault) {
					continue
				}
				for _, t := range a.ForwardConfig.TargetGroups {
					if aws.ToString(t.TargetGroupArn) != targetGroup {
						continue
					}
					if _, err := s.LoadBalancing.DeleteRule(ctx, &elb.DeleteRuleInput{RuleArn: r.RuleArn}); unless(err, "RuleNotFound") != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}

func (s *scene) rules(ctx context.Context, listener *string) ([]elbtypes.Rule, error) {
	var all []elbtypes.Rule
	for in := (&elb.DescribeRulesInput{ListenerArn: listener}); ; {
		part, err := s.LoadBalancing.DescribeRules(ctx, in)
		if err != nil {
			return nil, err
		}
		all = append(all, part.Rules...)
		if in.Marker = part.NextMarker; in.Marker == nil {
			return all, nil
		}
	}
}

func (s *scene) dropDatabases(ctx context.Context) error {
	var all []rdstypes.DBInstance
	for in := (&rds.DescribeDBInstancesInput{}); ; {
		part, err := s.RDS.DescribeDBInstances(ctx, in)
		if err != nil {
			return err
		}
		all = append(all, part.DBInstances...)
		if in.Marker = part.Marker; in.Marker == nil {
			break
		}
	}
	for _, d := range all {
		i := slices.IndexFunc(d.TagList, func(t rdstypes.Tag) bool { return aws.ToString(t.Key) == "godwit:database" })
		if i < 0 || !strings.HasPrefix(aws.ToString(d.DBInstanceIdentifier), s.Name("")) {
			continue
		}
		if _, err := s.RDS.DeleteDBInstance(ctx, &rds.DeleteDBInstanceInput{DBInstanceIdentifier: d.DBInstanceIdentifier, SkipFinalSnapshot: aws.Bool(true)}); err != nil {
			return err
		}
		_, err := s.SecretsManager.DeleteSecret(ctx, &secretsmanager.DeleteSecretInput{SecretId: aws.String(s.DatabaseSecret(aws.ToString(d.TagList[i].Value))),
			ForceDeleteWithoutRecovery: aws.Bool(true)})
		if unless(err, "ResourceNotFoundException") != nil {
			return err
		}
	}
	return nil
}
