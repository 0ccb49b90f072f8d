package awstest

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	astypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	rdstypes "github.com/aws/aws-sdk-go-v2/service/rds/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"godwit/internal/landscape"
	"godwit/internal/site/aws/convention"
)

func (s *scene) database(ctx context.Context, name string) error {
	t := s.tags("godwit:database", name)
	in := &rds.CreateDBInstanceInput{DBInstanceIdentifier: aws.String(s.Database(name)), Engine: aws.String("postgres"), DBInstanceClass: aws.String("db.t4g.small"),
		DBName: &name, MasterUsername: aws.String("godwit"), MasterUserPassword: aws.String("of-a-test-only"), AllocatedStorage: aws.Int32(20)}
	for k, v := range t {
		in.Tags = append(in.Tags, rdstypes.Tag{Key: aws.String(k), Value: aws.String(v)})
	}
	if _, err := s.RDS.CreateDBInstance(ctx, in); unless(err, "DBInstanceAlreadyExists", "DBInstanceAlreadyExistsFault") != nil {
		return err
	}
	_, err := s.SecretsManager.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: aws.String(s.DatabaseSecret(name))})
	return unless(err, "ResourceExistsException")
}

// service makes what a service needs: launch template, target groups with their
// rules, and two empty groups.
func (s *scene) service(ctx context.Context, service landscape.Service) error {
	if err := s.template(ctx, service.Name); err != nil {
		return err
	}
	arns := map[convention.Colour][]string{}
	for _, face := range s.faces(service.Name) {
		groups, err := s.targetGroups(ctx, service, face)
		if err != nil {
			return err
		}
		if err := s.rule(ctx, service, face, groups); err != nil {
			return err
		}
		for i, c := range convention.Colours {
			arns[c] = append(arns[c], groups[i])
		}
	}
	for _, c := range convention.Colours {
		if err := s.group(ctx, service.Name, c, arns[c]); err != nil {
			return err
		}
	}
	return nil
}

// faces: whatever an ingress leads to is public, whatever another service needs is internal.
func (s *scene) faces(service string) []convention.Face {
	var out []convention.Face
	if slices.ContainsFunc(s.landscape.Ingresses, func(i landscape.Ingress) bool { return i.Service == service }) {
		out = append(out, convention.Public)
	}
	for _, other := range s.landscape.Services {
		if slices.Contains(other.Needs, landscape.Ref{Kind: "service", Name: service}) {
			return append(out, convention.Internal)
		}
	}
	return out
}

func (s *scene) template(ctx context.Context, service string) error {
	_, err := s.EC2.CreateLaunchTemplate(ctx, &ec2.CreateLaunchTemplateInput{LaunchTemplateName: aws.String(s.LaunchTemplate(service)),
		LaunchTemplateData: &ec2types.RequestLaunchTemplateData{InstanceType: ec2types.InstanceTypeT3Small, ImageId: aws.String("ami-00000000000000001"),
			MetadataOptions: &ec2types.LaunchTemplateInstanceMetadataOptionsRequest{HttpTokens: ec2types.LaunchTemplateHttpTokensStateRequired}},
		TagSpecifications: []ec2types.TagSpecification{{ResourceType: ec2types.ResourceTypeLaunchTemplate, Tags: ec2Tags(s.tags(convention.TagService, service))}}})
	return unless(err, "InvalidLaunchTemplateName.AlreadyExistsException")
}

func (s *scene) targetGroups(ctx context.Context, service landscape.Service, face convention.Face) ([]string, error) {
	var arns []string
	for _, c := range convention.Colours {
		name := s.TargetGroup(service.Name, face, c)
		found, err := s.LoadBalancing.DescribeTargetGroups(ctx, &elb.DescribeTargetGroupsInput{Names: []string{name}})
		if err == nil && len(found.TargetGroups) == 1 {
			arns = append(arns, *found.TargetGroups[0].TargetGroupArn)
			continue
		}
		if unless(err, "TargetGroupNotFound") != nil {
			return nil, err
		}
		interval := s.Interval
		if interval == 0 {
			interval = 10
		}
		made, err := s.LoadBalancing.CreateTargetGroup(ctx, &elb.CreateTargetGroupInput{Name: &name, VpcId: &s.vpc, Port: aws.Int32(int32(service.Port)),
			Protocol: elbtypes.ProtocolEnumHttp, TargetType: elbtypes.TargetTypeEnumInstance, HealthCheckPath: aws.String("/health"),
			HealthCheckIntervalSeconds: &interval, HealthyThresholdCount: aws.Int32(2), UnhealthyThresholdCount: aws.Int32(2),
			Tags: elbTags(s.tags(convention.TagService, service.Name, convention.TagColour, string(c)))})
		if err != nil {
			return nil, err
		}
		arns = append(arns, *made.TargetGroups[0].TargetGroupArn)
	}
	return arns, nil
}

func answer404() []elbtypes.Action {
	return []elbtypes.Action{{Type: elbtypes.ActionTypeEnumFixedResponse, FixedResponseConfig: &elbtypes.FixedResponseActionConfig{
		StatusCode: aws.String("404"), ContentType: aws.String("text/plain")}}}
}

// forward sends everything to blue, as long as nothing was rolled out.
func forward(groups []string) []elbtypes.Action {
	return []elbtypes.Action{{Type: elbtypes.ActionTypeEnumForward, ForwardConfig: &elbtypes.ForwardActionConfig{TargetGroups: []elbtypes.TargetGroupTuple{
		{TargetGroupArn: &groups[0], Weight: aws.Int32(100)}, {TargetGroupArn: &groups[1], Weight: aws.Int32(0)}}}}}
}

// rule leads requests to a service: one of the public listener for each host, or
// the only action of the service's own load balancer.
func (s *scene) rule(ctx context.Context, service landscape.Service, face convention.Face, groups []string) error {
	if face == convention.Internal {
		_, err := s.listener(ctx, s.LoadBalancer(face, service.Name), int32(service.Port), forward(groups))
		return err
	}
	all, err := s.rules(ctx, &s.public)
	if err != nil {
		return err
	}
	for i, ingress := range s.landscape.Ingresses {
		priority := int32(i + 1)
		there := slices.ContainsFunc(all, func(r elbtypes.Rule) bool { return aws.ToString(r.Priority) == strconv.Itoa(int(priority)) })
		if ingress.Service != service.Name || there {
			continue
		}
		if _, err := s.LoadBalancing.CreateRule(ctx, &elb.CreateRuleInput{ListenerArn: &s.public, Priority: &priority, Actions: forward(groups),
			Conditions: []elbtypes.RuleCondition{{Field: aws.String("host-header"), HostHeaderConfig: &elbtypes.HostHeaderConditionConfig{Values: []string{ingress.Host}}}}}); err != nil {
			return err
		}
	}
	return nil
}

// listener finds or makes a load balancer with one listener.
func (s *scene) listener(ctx context.Context, name string, port int32, actions []elbtypes.Action) (string, error) {
	found, err := s.LoadBalancing.DescribeLoadBalancers(ctx, &elb.DescribeLoadBalancersInput{Names: []string{name}})
	var arn *string
	switch {
	case err == nil && len(found.LoadBalancers) == 1:
		arn = found.LoadBalancers[0].LoadBalancerArn
	case unless(err, "LoadBalancerNotFound") != nil:
		return "", err
	default:
		scheme := elbtypes.LoadBalancerSchemeEnumInternetFacing
		if strings.HasSuffix(name, "internal") {
			scheme = elbtypes.LoadBalancerSchemeEnumInternal
		}
		made, err := s.LoadBalancing.CreateLoadBalancer(ctx, &elb.CreateLoadBalancerInput{Name: &name, Subnets: s.subnets, Scheme: scheme, Tags: elbTags(s.tags())})
		if err != nil {
			return "", err
		}
		arn = made.LoadBalancers[0].LoadBalancerArn
	}
	listeners, err := s.LoadBalancing.DescribeListeners(ctx, &elb.DescribeListenersInput{LoadBalancerArn: arn})
	if err != nil {
		return "", err
	}
	if len(listeners.Listeners) > 0 {
		return *listeners.Listeners[0].ListenerArn, nil
	}
	made, err := s.LoadBalancing.CreateListener(ctx, &elb.CreateListenerInput{LoadBalancerArn: arn, Port: &port, Protocol: elbtypes.ProtocolEnumHttp, DefaultActions: actions})
	if err != nil {
		return "", err
	}
	return *made.Listeners[0].ListenerArn, nil
}

func (s *scene) group(ctx context.Context, service string, c convention.Colour, targetGroups []string) error {
	name := s.Group(service, c)
	// Looked for first: moto would make it anew, and forget its instances.
	there, err := s.AutoScaling.DescribeAutoScalingGroups(ctx, &autoscaling.DescribeAutoScalingGroupsInput{AutoScalingGroupNames: []string{name}})
	if err != nil || len(there.AutoScalingGroups) > 0 {
		return err
	}
	in := &autoscaling.CreateAutoScalingGroupInput{AutoScalingGroupName: &name, MinSize: aws.Int32(0), MaxSize: aws.Int32(0), DesiredCapacity: aws.Int32(0),
		LaunchTemplate:    &astypes.LaunchTemplateSpecification{LaunchTemplateName: aws.String(s.LaunchTemplate(service)), Version: aws.String("1")},
		VPCZoneIdentifier: aws.String(strings.Join(s.subnets, ",")), HealthCheckType: aws.String("ELB"), HealthCheckGracePeriod: aws.Int32(120), TargetGroupARNs: targetGroups}
	for k, v := range s.tags(convention.TagService, service, convention.TagColour, string(c)) {
		in.Tags = append(in.Tags, astypes.Tag{Key: aws.String(k), Value: aws.String(v), PropagateAtLaunch: aws.Bool(true),
			ResourceId: &name, ResourceType: aws.String("auto-scaling-group")})
	}
	if _, err := s.AutoScaling.CreateAutoScalingGroup(ctx, in); err != nil {
		return err
	}
	if err := s.hook(ctx, name, convention.DrainHook, "TERMINATING", 300, "CONTINUE"); err != nil || len(targetGroups) > 0 {
		return err
	}
	return s.hook(ctx, name, convention.LaunchHook, "LAUNCHING", 600, "ABANDON")
}

func (s *scene) hook(ctx context.Context, group, name, transition string, heartbeat int32, result string) error {
	_, err := s.AutoScaling.PutLifecycleHook(ctx, &autoscaling.PutLifecycleHookInput{AutoScalingGroupName: &group, LifecycleHookName: &name,
		LifecycleTransition: aws.String("autoscaling:EC2_INSTANCE_" + transition), HeartbeatTimeout: &heartbeat, DefaultResult: &result})
	return err
}
