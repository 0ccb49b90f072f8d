package awsfake_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"io"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	astypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"godwit/internal/site/aws/awstest"
)

var ctx = context.Background()

func steps() []step {
	var all []step
	for _, part := range [][]step{networks(), images(), templates(), balancers(), groups(), objects(), secrets(), secretVersions(), others(), fronts(), masters()} {
		all = append(all, part...)
	}
	return all
}

func networks() []step {
	tags := func(kind types.ResourceType) []types.TagSpecification {
		return []types.TagSpecification{{ResourceType: kind, Tags: []types.Tag{{Key: sdk.String("godwit:landscape"), Value: sdk.String("bistro")}}}}
	}
	subnet := func(name, zone, cidr string) step {
		return step{name: "CreateSubnet " + name, do: func(s *side) (any, error) {
			out, err := s.ec2.CreateSubnet(ctx, &ec2.CreateSubnetInput{VpcId: s.id("vpc"), AvailabilityZone: sdk.String(awstest.Region + zone), CidrBlock: &cidr})
			if err == nil {
				s.keep(name, out.Subnet.SubnetId)
			}
			return out, err
		}}
	}
	return []step{
		{name: "CreateVpc", do: func(s *side) (any, error) {
			out, err := s.ec2.CreateVpc(ctx, &ec2.CreateVpcInput{CidrBlock: sdk.String("10.10.0.0/16"), TagSpecifications: tags(types.ResourceTypeVpc)})
			if err == nil {
				s.keep("vpc", out.Vpc.VpcId)
			}
			return out, err
		}},
		{name: "DescribeVpcs by tag", do: func(s *side) (any, error) {
			return s.EC2.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{Filters: []types.Filter{{Name: sdk.String("tag:godwit:landscape"), Values: []string{"bistro"}}}})
		}},
		{name: "DescribeVpcs by a tag that none has", do: func(s *side) (any, error) {
			return s.EC2.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{Filters: []types.Filter{{Name: sdk.String("tag:godwit:landscape"), Values: []string{"other"}}}})
		}},
		{name: "DescribeVpcs unknown", do: func(s *side) (any, error) {
			return s.EC2.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{VpcIds: []string{"vpc-00000000000000bad"}})
		}},
		subnet("a", "a", "10.10.0.0/20"), subnet("b", "b", "10.10.16.0/20"),
		{name: "DescribeSubnets", do: func(s *side) (any, error) {
			return s.ec2.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{SubnetIds: []string{*s.id("a"), *s.id("b")}})
		}},
		{name: "DeleteVpc with subnets", do: func(s *side) (any, error) {
			return s.ec2.DeleteVpc(ctx, &ec2.DeleteVpcInput{VpcId: s.id("vpc")})
		}},
	}
}

func images() []step {
	return []step{
		{name: "RegisterImage", do: func(s *side) (any, error) {
			out, err := s.ec2.RegisterImage(ctx, &ec2.RegisterImageInput{Name: sdk.String("till-1")})
			if err == nil {
				s.keep("ami", out.ImageId)
			}
			return out, err
		}},
		{name: "CreateTags", do: func(s *side) (any, error) {
			return s.ec2.CreateTags(ctx, &ec2.CreateTagsInput{Resources: []string{*s.id("ami")}, Tags: []types.Tag{
				{Key: sdk.String("godwit:service"), Value: sdk.String("till")}, {Key: sdk.String("godwit:image"), Value: sdk.String("sha256:1")}}})
		}},
		{name: "DescribeImages by tags", do: func(s *side) (any, error) {
			return s.EC2.DescribeImages(ctx, &ec2.DescribeImagesInput{Owners: []string{"self"}, Filters: []types.Filter{
				{Name: sdk.String("tag:godwit:service"), Values: []string{"till"}}, {Name: sdk.String("tag:godwit:image"), Values: []string{"sha256:1"}}}})
		}},
		{name: "DescribeImages by another tag", do: func(s *side) (any, error) {
			return s.EC2.DescribeImages(ctx, &ec2.DescribeImagesInput{Owners: []string{"self"}, Filters: []types.Filter{{Name: sdk.String("tag:godwit:image"), Values: []string{"sha256:2"}}}})
		}},
		{name: "DescribeImages unknown", do: func(s *side) (any, error) {
			return s.EC2.DescribeImages(ctx, &ec2.DescribeImagesInput{ImageIds: []string{"ami-00000000000000bad"}})
		}},
		{name: "DescribeInstanceTypeOfferings", do: func(s *side) (any, error) {
			return s.EC2.DescribeInstanceTypeOfferings(ctx, &ec2.DescribeInstanceTypeOfferingsInput{LocationType: types.LocationTypeAvailabilityZone,
				Filters: []types.Filter{{Name: sdk.String("instance-type"), Values: []string{"t3.small"}}}})
		}},
	}
}

func templates() []step {
	user := base64.StdEncoding.EncodeToString([]byte(`{"godwit":1}`))
	create := func(s *side) (any, error) {
		out, err := s.ec2.CreateLaunchTemplate(ctx, &ec2.CreateLaunchTemplateInput{LaunchTemplateName: sdk.String("till"), LaunchTemplateData: &types.RequestLaunchTemplateData{
			ImageId: s.id("ami"), InstanceType: types.InstanceTypeT3Small, MetadataOptions: &types.LaunchTemplateInstanceMetadataOptionsRequest{HttpTokens: "required"}},
			TagSpecifications: []types.TagSpecification{{ResourceType: types.ResourceTypeLaunchTemplate, Tags: []types.Tag{{Key: sdk.String("godwit:service"), Value: sdk.String("till")}}}}})
		if err == nil {
			s.keep("lt", out.LaunchTemplate.LaunchTemplateId)
		}
		return out, err
	}
	return []step{
		{name: "CreateLaunchTemplate", do: create},
		{name: "CreateLaunchTemplate again", do: create},
		{name: "DescribeLaunchTemplates", do: func(s *side) (any, error) {
			return s.EC2.DescribeLaunchTemplates(ctx, &ec2.DescribeLaunchTemplatesInput{LaunchTemplateNames: []string{"till"}})
		}},
		{name: "DescribeLaunchTemplates unknown", do: func(s *side) (any, error) {
			return s.EC2.DescribeLaunchTemplates(ctx, &ec2.DescribeLaunchTemplatesInput{LaunchTemplateNames: []string{"unknown"}})
		}},
		{name: "CreateLaunchTemplateVersion", do: func(s *side) (any, error) {
			return s.EC2.CreateLaunchTemplateVersion(ctx, &ec2.CreateLaunchTemplateVersionInput{LaunchTemplateId: s.id("lt"), VersionDescription: sdk.String("release 1"),
				LaunchTemplateData: &types.RequestLaunchTemplateData{ImageId: s.id("ami"), InstanceType: types.InstanceTypeT3Small, UserData: &user}})
		}},
		{name: "DescribeLaunchTemplateVersions", do: func(s *side) (any, error) {
			return s.EC2.DescribeLaunchTemplateVersions(ctx, &ec2.DescribeLaunchTemplateVersionsInput{LaunchTemplateId: s.id("lt"), Versions: []string{"2"}})
		}},
		{name: "DescribeLaunchTemplateVersions, all", do: func(s *side) (any, error) {
			out, err := s.EC2.DescribeLaunchTemplateVersions(ctx, &ec2.DescribeLaunchTemplateVersionsInput{LaunchTemplateId: s.id("lt")})
			if err == nil && *out.LaunchTemplateVersions[0].VersionNumber == 1 { // moto's order is the other one
				v := out.LaunchTemplateVersions
				v[0], v[1] = v[1], v[0]
			}
			return out, err
		}},
		{name: "DescribeLaunchTemplateVersions of an unknown template", do: func(s *side) (any, error) {
			return s.EC2.DescribeLaunchTemplateVersions(ctx, &ec2.DescribeLaunchTemplateVersionsInput{LaunchTemplateName: sdk.String("unknown")})
		}},
		{name: "DescribeLaunchTemplateVersions of an unknown id", do: func(s *side) (any, error) {
			return s.EC2.DescribeLaunchTemplateVersions(ctx, &ec2.DescribeLaunchTemplateVersionsInput{LaunchTemplateId: sdk.String("lt-00000000000000bad")})
		}},
	}
}

func balancers() []step {
	targetGroup := func(name string) step {
		return step{name: "CreateTargetGroup " + name, do: func(s *side) (any, error) {
			out, err := s.elb.CreateTargetGroup(ctx, &elb.CreateTargetGroupInput{Name: &name, VpcId: s.id("vpc"), Port: sdk.Int32(8080), Protocol: elbtypes.ProtocolEnumHttp,
				TargetType: elbtypes.TargetTypeEnumInstance, HealthCheckPath: sdk.String("/health"), HealthCheckIntervalSeconds: sdk.Int32(10),
				Tags: []elbtypes.Tag{{Key: sdk.String("godwit:service"), Value: sdk.String("till")}}})
			if err == nil {
				s.keep("tg "+name, out.TargetGroups[0].TargetGroupArn)
			}
			return out, err
		}}
	}
	forward := func(s *side, blue, green int32) []elbtypes.Action {
		return []elbtypes.Action{{Type: elbtypes.ActionTypeEnumForward, ForwardConfig: &elbtypes.ForwardActionConfig{TargetGroups: []elbtypes.TargetGroupTuple{
			{TargetGroupArn: s.id("tg blue"), Weight: &blue}, {TargetGroupArn: s.id("tg green"), Weight: &green}}}}}
	}
	rule := func(s *side) (any, error) {
		out, err := s.elb.CreateRule(ctx, &elb.CreateRuleInput{ListenerArn: s.id("listener"), Priority: sdk.Int32(1), Actions: forward(s, 100, 0),
			Conditions: []elbtypes.RuleCondition{{Field: sdk.String("host-header"), HostHeaderConfig: &elbtypes.HostHeaderConditionConfig{Values: []string{"till.example"}}}}})
		if err == nil {
			s.keep("rule", out.Rules[0].RuleArn)
		}
		return out, err
	}
	unknown := "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/unknown/0000000000000bad"
	return []step{
		targetGroup("blue"), targetGroup("green"),
		{name: "CreateTargetGroup with a long name", do: func(s *side) (any, error) {
			return s.elb.CreateTargetGroup(ctx, &elb.CreateTargetGroupInput{Name: sdk.String("a-name-of-more-than-thirty-two-characters"), VpcId: s.id("vpc"), Port: sdk.Int32(8080), Protocol: elbtypes.ProtocolEnumHttp})
		}},
		{name: "DescribeTargetGroups unknown", do: func(s *side) (any, error) {
			return s.LoadBalancing.DescribeTargetGroups(ctx, &elb.DescribeTargetGroupsInput{Names: []string{"unknown"}})
		}},
		{name: "CreateLoadBalancer", do: func(s *side) (any, error) {
			out, err := s.elb.CreateLoadBalancer(ctx, &elb.CreateLoadBalancerInput{Name: sdk.String("public"), Subnets: []string{*s.id("a"), *s.id("b")},
				Tags: []elbtypes.Tag{{Key: sdk.String("godwit:landscape"), Value: sdk.String("bistro")}}})
			if err == nil {
				s.keep("lb", out.LoadBalancers[0].LoadBalancerArn)
			}
			return out, err
		}, differs: map[string]string{".State.Code": "moto tells it provisioning until it is described"}},
		{name: "DescribeLoadBalancers", do: func(s *side) (any, error) {
			return s.LoadBalancing.DescribeLoadBalancers(ctx, &elb.DescribeLoadBalancersInput{Names: []string{"public"}})
		}},
		{name: "DescribeLoadBalancers unknown", do: func(s *side) (any, error) {
			return s.LoadBalancing.DescribeLoadBalancers(ctx, &elb.DescribeLoadBalancersInput{Names: []string{"unknown"}})
		}},
		{name: "CreateListener", do: func(s *side) (any, error) {
			out, err := s.elb.CreateListener(ctx, &elb.CreateListenerInput{LoadBalancerArn: s.id("lb"), Port: sdk.Int32(80), Protocol: elbtypes.ProtocolEnumHttp,
				DefaultActions: []elbtypes.Action{{Type: elbtypes.ActionTypeEnumFixedResponse, FixedResponseConfig: &elbtypes.FixedResponseActionConfig{StatusCode: sdk.String("404"), ContentType: sdk.String("text/plain")}}}})
			if err == nil {
				s.keep("listener", out.Listeners[0].ListenerArn)
			}
			return out, err
		}},
		{name: "CreateRule", do: rule},
		{name: "CreateRule with the same priority", do: rule},
		{name: "CreateRule for an unknown target group", do: func(s *side) (any, error) {
			return s.elb.CreateRule(ctx, &elb.CreateRuleInput{ListenerArn: s.id("listener"), Priority: sdk.Int32(2),
				Actions:    []elbtypes.Action{{Type: elbtypes.ActionTypeEnumForward, TargetGroupArn: &unknown}},
				Conditions: []elbtypes.RuleCondition{{Field: sdk.String("path-pattern"), PathPatternConfig: &elbtypes.PathPatternConditionConfig{Values: []string{"/x"}}}}})
		}},
		{name: "DescribeRules", do: func(s *side) (any, error) {
			return s.LoadBalancing.DescribeRules(ctx, &elb.DescribeRulesInput{ListenerArn: s.id("listener")})
		}},
		{name: "ModifyRule", do: func(s *side) (any, error) {
			return s.LoadBalancing.ModifyRule(ctx, &elb.ModifyRuleInput{RuleArn: s.id("rule"), Actions: forward(s, 90, 10)})
		}},
		{name: "DescribeRules after it", do: func(s *side) (any, error) {
			return s.LoadBalancing.DescribeRules(ctx, &elb.DescribeRulesInput{RuleArns: []string{*s.id("rule")}})
		}},
		{name: "ModifyRule with too great a weight", do: func(s *side) (any, error) {
			return s.LoadBalancing.ModifyRule(ctx, &elb.ModifyRuleInput{RuleArn: s.id("rule"), Actions: forward(s, 1000, 10)})
		}, code: "ValidationError", why: "moto takes any weight, AWS 0 to 999"},
		{name: "ModifyRule back", do: func(s *side) (any, error) {
			return s.LoadBalancing.ModifyRule(ctx, &elb.ModifyRuleInput{RuleArn: s.id("rule"), Actions: forward(s, 100, 0)})
		}},
		{name: "ModifyRule unknown", do: func(s *side) (any, error) {
			return s.LoadBalancing.ModifyRule(ctx, &elb.ModifyRuleInput{RuleArn: sdk.String("arn:aws:elasticloadbalancing:eu-central-1:123456789012:listener-rule/app/public/1/2/3"), Actions: forward(s, 1, 1)})
		}},
		{name: "DescribeListeners", do: func(s *side) (any, error) {
			return s.LoadBalancing.DescribeListeners(ctx, &elb.DescribeListenersInput{LoadBalancerArn: s.id("lb")})
		}},
		{name: "DescribeTargetGroups", do: func(s *side) (any, error) {
			return s.LoadBalancing.DescribeTargetGroups(ctx, &elb.DescribeTargetGroupsInput{TargetGroupArns: []string{*s.id("tg blue"), *s.id("tg green")}})
		}},
		{name: "DescribeTags", do: func(s *side) (any, error) {
			return s.LoadBalancing.DescribeTags(ctx, &elb.DescribeTagsInput{ResourceArns: []string{*s.id("lb"), *s.id("tg blue")}})
		}},
		{name: "DescribeTags unknown", do: func(s *side) (any, error) {
			return s.LoadBalancing.DescribeTags(ctx, &elb.DescribeTagsInput{ResourceArns: []string{unknown}})
		}, code: "TargetGroupNotFound", why: "moto answers with no tags, AWS with this error"},
		{name: "DescribeTargetHealth of nobody", do: func(s *side) (any, error) {
			return s.LoadBalancing.DescribeTargetHealth(ctx, &elb.DescribeTargetHealthInput{TargetGroupArn: s.id("tg blue")})
		}},
		{name: "DescribeTargetHealth unknown", do: func(s *side) (any, error) {
			return s.LoadBalancing.DescribeTargetHealth(ctx, &elb.DescribeTargetHealthInput{TargetGroupArn: &unknown})
		}},
		{name: "DeleteTargetGroup in use", do: func(s *side) (any, error) {
			return s.elb.DeleteTargetGroup(ctx, &elb.DeleteTargetGroupInput{TargetGroupArn: s.id("tg blue")})
		}},
	}
}

func groups() []step {
	name := sdk.String("till-blue")
	describe := func(s *side) (any, error) {
		return s.AutoScaling.DescribeAutoScalingGroups(ctx, &autoscaling.DescribeAutoScalingGroupsInput{AutoScalingGroupNames: []string{*name}})
	}
	tag := astypes.Tag{ResourceId: name, ResourceType: sdk.String("auto-scaling-group"), Key: sdk.String("godwit:release"), Value: sdk.String("1"), PropagateAtLaunch: sdk.Bool(true)}
	update := func(in autoscaling.UpdateAutoScalingGroupInput) func(*side) (any, error) {
		return func(s *side) (any, error) { return s.AutoScaling.UpdateAutoScalingGroup(ctx, &in) }
	}
	global := map[string]string{".GlobalTimeout": "a hundred times the heartbeat when that is less, which moto does not reckon"}
	hook := func(hook, transition, result string) step {
		return step{name: "PutLifecycleHook " + hook, do: func(s *side) (any, error) {
			return s.asg.PutLifecycleHook(ctx, &autoscaling.PutLifecycleHookInput{AutoScalingGroupName: name, LifecycleHookName: &hook,
				LifecycleTransition: &transition, DefaultResult: &result, HeartbeatTimeout: sdk.Int32(60)})
		}}
	}
	zoned := map[string]string{".AvailabilityZone": "moto puts all into the first subnet's zone"}
	return []step{
		{name: "CreateAutoScalingGroup", do: func(s *side) (any, error) {
			return s.asg.CreateAutoScalingGroup(ctx, &autoscaling.CreateAutoScalingGroupInput{AutoScalingGroupName: name, MinSize: sdk.Int32(0), MaxSize: sdk.Int32(0), DesiredCapacity: sdk.Int32(0),
				LaunchTemplate:    &astypes.LaunchTemplateSpecification{LaunchTemplateId: s.id("lt"), Version: sdk.String("1")},
				VPCZoneIdentifier: sdk.String(*s.id("a") + "," + *s.id("b")), HealthCheckType: sdk.String("ELB"), HealthCheckGracePeriod: sdk.Int32(60),
				TargetGroupARNs: []string{*s.id("tg blue")}, Tags: []astypes.Tag{{ResourceId: name, Key: sdk.String("godwit:service"), Value: sdk.String("till"), PropagateAtLaunch: sdk.Bool(true)}}})
		}},
		{name: "DescribeAutoScalingGroups", do: describe},
		{name: "DescribeAutoScalingGroups by tag", do: func(s *side) (any, error) {
			return s.AutoScaling.DescribeAutoScalingGroups(ctx, &autoscaling.DescribeAutoScalingGroupsInput{Filters: []astypes.Filter{{Name: sdk.String("tag:godwit:service"), Values: []string{"till"}}}})
		}},
		{name: "DescribeAutoScalingGroups by another tag", do: func(s *side) (any, error) {
			return s.AutoScaling.DescribeAutoScalingGroups(ctx, &autoscaling.DescribeAutoScalingGroupsInput{Filters: []astypes.Filter{{Name: sdk.String("tag:godwit:service"), Values: []string{"other"}}}})
		}},
		{name: "DescribeAutoScalingGroups unknown", do: func(s *side) (any, error) {
			return s.AutoScaling.DescribeAutoScalingGroups(ctx, &autoscaling.DescribeAutoScalingGroupsInput{AutoScalingGroupNames: []string{"unknown"}})
		}},
		{name: "CreateOrUpdateTags", do: func(s *side) (any, error) {
			return s.AutoScaling.CreateOrUpdateTags(ctx, &autoscaling.CreateOrUpdateTagsInput{Tags: []astypes.Tag{tag}})
		}},
		{name: "SuspendProcesses", do: func(s *side) (any, error) {
			return s.AutoScaling.SuspendProcesses(ctx, &autoscaling.SuspendProcessesInput{AutoScalingGroupName: name, ScalingProcesses: []string{"AZRebalance", "ReplaceUnhealthy"}})
		}},
		{name: "DescribeAutoScalingGroups, tagged and suspended", do: describe},
		{name: "ResumeProcesses", do: func(s *side) (any, error) {
			return s.AutoScaling.ResumeProcesses(ctx, &autoscaling.ResumeProcessesInput{AutoScalingGroupName: name, ScalingProcesses: []string{"AZRebalance"}})
		}},
		{name: "UpdateAutoScalingGroup to two", do: update(autoscaling.UpdateAutoScalingGroupInput{AutoScalingGroupName: name, MinSize: sdk.Int32(2), MaxSize: sdk.Int32(4), DesiredCapacity: sdk.Int32(2)})},
		{name: "DescribeAutoScalingGroups with two", do: describe, differs: zoned},
		{name: "DescribeInstances", do: func(s *side) (any, error) {
			out, err := s.EC2.DescribeInstances(ctx, &ec2.DescribeInstancesInput{Filters: []types.Filter{{Name: sdk.String("tag:aws:autoscaling:groupName"), Values: []string{*name}}}})
			var all []types.Instance // moto has those that were launched together in one reservation
			for _, r := range out.Reservations {
				all = append(all, r.Instances...)
			}
			return all, err
		}, differs: map[string]string{".PrivateIpAddress": "each gives its own", ".SubnetId": "moto puts all into the first subnet", ".AvailabilityZone": "the same"}},
		{name: "DescribeTargetHealth of two", do: func(s *side) (any, error) {
			return s.LoadBalancing.DescribeTargetHealth(ctx, &elb.DescribeTargetHealthInput{TargetGroupArn: s.id("tg blue")})
		}, differs: map[string]string{".HealthCheckPort": "AWS tells the target's own port, moto how it is set"}},
		{name: "DetachLoadBalancerTargetGroups", do: func(s *side) (any, error) {
			return s.groups.DetachLoadBalancerTargetGroups(ctx, &autoscaling.DetachLoadBalancerTargetGroupsInput{AutoScalingGroupName: name, TargetGroupARNs: []string{*s.id("tg blue")}})
		}},
		{name: "DescribeAutoScalingGroups, detached", do: describe, differs: zoned},
		{name: "AttachLoadBalancerTargetGroups", do: func(s *side) (any, error) {
			return s.groups.AttachLoadBalancerTargetGroups(ctx, &autoscaling.AttachLoadBalancerTargetGroupsInput{AutoScalingGroupName: name, TargetGroupARNs: []string{*s.id("tg blue")}})
		}},
		{name: "DescribeAutoScalingGroups, attached again", do: describe, differs: zoned},
		{name: "AttachLoadBalancerTargetGroups unknown", do: func(s *side) (any, error) {
			return s.groups.AttachLoadBalancerTargetGroups(ctx, &autoscaling.AttachLoadBalancerTargetGroupsInput{AutoScalingGroupName: sdk.String("unknown"), TargetGroupARNs: []string{*s.id("tg blue")}})
		}, code: "ValidationError", motoCode: "no code", why: "moto breaks down"},
		{name: "UpdateAutoScalingGroup, a higher least", do: update(autoscaling.UpdateAutoScalingGroupInput{AutoScalingGroupName: name, MinSize: sdk.Int32(3)})},
		{name: "DescribeAutoScalingGroups with three", do: describe, differs: zoned},
		{name: "UpdateAutoScalingGroup to none", do: update(autoscaling.UpdateAutoScalingGroupInput{AutoScalingGroupName: name, MinSize: sdk.Int32(0), MaxSize: sdk.Int32(0), DesiredCapacity: sdk.Int32(0)})},
		{name: "DescribeAutoScalingGroups with none", do: describe},
		{name: "UpdateAutoScalingGroup unknown", do: update(autoscaling.UpdateAutoScalingGroupInput{AutoScalingGroupName: sdk.String("unknown"), MinSize: sdk.Int32(0)})},
		{name: "SuspendProcesses unknown", do: func(s *side) (any, error) {
			return s.AutoScaling.SuspendProcesses(ctx, &autoscaling.SuspendProcessesInput{AutoScalingGroupName: sdk.String("unknown")})
		}, code: "ValidationError", motoCode: "no code", why: "moto breaks down"},
		{name: "DeleteTags", do: func(s *side) (any, error) {
			return s.AutoScaling.DeleteTags(ctx, &autoscaling.DeleteTagsInput{Tags: []astypes.Tag{tag}})
		}},
		{name: "DescribeAutoScalingGroups, untagged", do: describe},
		hook("drain", "autoscaling:EC2_INSTANCE_TERMINATING", "CONTINUE"), hook("launch", "autoscaling:EC2_INSTANCE_LAUNCHING", "ABANDON"),
		{name: "DescribeLifecycleHooks", do: func(s *side) (any, error) {
			return s.groups.DescribeLifecycleHooks(ctx, &autoscaling.DescribeLifecycleHooksInput{AutoScalingGroupName: name})
		}, differs: global},
		{name: "DescribeLifecycleHooks by name", do: func(s *side) (any, error) {
			return s.groups.DescribeLifecycleHooks(ctx, &autoscaling.DescribeLifecycleHooksInput{AutoScalingGroupName: name, LifecycleHookNames: []string{"launch"}})
		}, differs: global},
		{name: "CompleteLifecycleAction of nobody", do: func(s *side) (any, error) {
			return s.AutoScaling.CompleteLifecycleAction(ctx, &autoscaling.CompleteLifecycleActionInput{AutoScalingGroupName: name,
				LifecycleHookName: sdk.String("launch"), InstanceId: sdk.String("i-00000000000000bad"), LifecycleActionResult: sdk.String("CONTINUE")})
		}, lacks: "no lifecycle actions in moto; AWS: No active Lifecycle Action found"},
		{name: "DescribeInstanceRefreshes", do: func(s *side) (any, error) {
			return s.AutoScaling.DescribeInstanceRefreshes(ctx, &autoscaling.DescribeInstanceRefreshesInput{AutoScalingGroupName: name})
		}, lacks: "no instance refreshes in moto"},
		{name: "DeleteAutoScalingGroup", do: func(s *side) (any, error) {
			return s.asg.DeleteAutoScalingGroup(ctx, &autoscaling.DeleteAutoScalingGroupInput{AutoScalingGroupName: name})
		}},
	}
}

func objects() []step {
	put := func(key, body string, match, none *string) func(*side) (any, error) {
		return func(s *side) (any, error) {
			if match != nil && *match == "kept" {
				match = s.id("etag")
			}
			out, err := s.S3.PutObject(ctx, &s3.PutObjectInput{Bucket: sdk.String("state"), Key: &key, Body: bytes.NewReader([]byte(body)), IfMatch: match, IfNoneMatch: none})
			if err == nil {
				s.keep("etag", out.ETag)
				return map[string]any{"ETag": *out.ETag}, nil
			}
			return out, err
		}
	}
	get := func(bucket, key string) func(*side) (any, error) {
		return func(s *side) (any, error) {
			out, err := s.S3.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &key})
			if err != nil {
				return nil, err
			}
			body, err := io.ReadAll(out.Body)
			return map[string]any{"Body": string(body), "ETag": *out.ETag, "ContentLength": *out.ContentLength}, err
		}
	}
	stale := sdk.String(`"00000000000000000000000000000000"`)
	return []step{
		{name: "CreateBucket", do: func(s *side) (any, error) {
			return s.buckets.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: sdk.String("state"), CreateBucketConfiguration: &s3types.CreateBucketConfiguration{LocationConstraint: awstest.Region}})
		}},
		{name: "HeadBucket", do: func(s *side) (any, error) {
			_, err := s.S3.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: sdk.String("state")})
			return nil, err
		}},
		{name: "HeadBucket unknown", do: func(s *side) (any, error) {
			return s.S3.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: sdk.String("unknown")})
		}},
		{name: "GetObject unknown", do: get("state", "k")},
		{name: "GetObject in an unknown bucket", do: get("unknown", "k")},
		{name: "PutObject when there is none", do: put("k", "one", nil, sdk.String("*"))},
		{name: "PutObject when there is none, again", do: put("k", "two", nil, sdk.String("*"))},
		{name: "PutObject over what was read", do: put("k", "three", sdk.String("kept"), nil)},
		{name: "PutObject over what is no more", do: put("k", "four", stale, nil)},
		{name: "PutObject over nothing", do: put("other", "four", stale, nil)},
		{name: "GetObject", do: get("state", "k")},
		{name: "DeleteObject", do: func(s *side) (any, error) {
			return s.S3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: sdk.String("state"), Key: sdk.String("k")})
		}},
		{name: "DeleteObject again", do: func(s *side) (any, error) {
			return s.S3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: sdk.String("state"), Key: sdk.String("k")})
		}},
	}
}

func secrets() []step {
	name := sdk.String("bistro/test/database/till")
	get := func(s *side) (any, error) {
		return s.SecretsManager.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: name})
	}
	own := map[string]string{".ARN": "each has a suffix of its own", ".VersionId": "each has its own"}
	arn := map[string]string{".ARN": "each has a suffix of its own"}
	return []step{
		{name: "GetSecretValue unknown", do: get},
		{name: "CreateSecret", do: func(s *side) (any, error) {
			return s.secrets.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: name})
		}, differs: arn},
		{name: "CreateSecret again", do: func(s *side) (any, error) {
			return s.secrets.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: name})
		}},
		{name: "GetSecretValue without a value", do: get},
		{name: "PutSecretValue", do: func(s *side) (any, error) {
			return s.SecretsManager.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: name, SecretString: sdk.String(`{"password":"x"}`)})
		}, differs: own},
		{name: "GetSecretValue", do: get, differs: own},
		{name: "DescribeSecret unknown", do: func(s *side) (any, error) {
			return s.SecretsManager.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: sdk.String("unknown")})
		}},
		{name: "PutSecretValue unknown", do: func(s *side) (any, error) {
			return s.SecretsManager.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: sdk.String("unknown"), SecretString: sdk.String("x")})
		}},
	}
}

func others() []step {
	describe := func(id string) func(*side) (any, error) {
		return func(s *side) (any, error) {
			return s.RDS.DescribeDBInstances(ctx, &rds.DescribeDBInstancesInput{DBInstanceIdentifier: &id})
		}
	}
	return []step{
		{name: "CreateDBInstance", do: func(s *side) (any, error) {
			_, err := s.rds.CreateDBInstance(ctx, &rds.CreateDBInstanceInput{DBInstanceIdentifier: sdk.String("bistro-test-till"), Engine: sdk.String("postgres"), DBName: sdk.String("till"),
				DBInstanceClass: sdk.String("db.t4g.small"), MasterUsername: sdk.String("godwit"), MasterUserPassword: sdk.String("of-a-test-only"), AllocatedStorage: sdk.Int32(20)})
			return nil, err
		}},
		{name: "DescribeDBInstances", do: describe("bistro-test-till"), differs: map[string]string{".Endpoint.Address": "each invents its own name"}},
		{name: "DescribeDBInstances unknown", do: describe("unknown")},
		{name: "GetCallerIdentity", do: func(s *side) (any, error) {
			return s.STS.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
		}, differs: map[string]string{".Arn": "another user", ".UserId": "another user"}},
	}
}
