package awsfake_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	astypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"godwit/internal/site/aws/awsfake"
)

// scene is a group behind a load balancer, as the steps of the comparison with
// moto make it, in three zones.
type scene struct {
	t     *testing.T
	cloud *awsfake.Cloud
	clock *awsfake.Stepper
	ami   string
	lt    string
	tg    string
	rule  string
}

func newScene(t *testing.T, o awsfake.Options) *scene {
	s := &scene{t: t, clock: awsfake.NewStepper()}
	o.Clock, o.Timings = s.clock.Now, awsfake.Realistic
	c := awsfake.New(o)
	s.cloud = c
	v, err := c.EC2().CreateVpc(ctx, &ec2.CreateVpcInput{CidrBlock: sdk.String("10.0.0.0/16")})
	s.ok(err)
	var subnets []string
	for i, z := range []string{"a", "b", "c"} {
		n, err := c.EC2().CreateSubnet(ctx, &ec2.CreateSubnetInput{VpcId: v.Vpc.VpcId, AvailabilityZone: sdk.String("eu-central-1" + z), CidrBlock: sdk.String(fmt.Sprintf("10.0.%d.0/24", i))})
		s.ok(err)
		subnets = append(subnets, *n.Subnet.SubnetId)
	}
	i, err := c.EC2().RegisterImage(ctx, &ec2.RegisterImageInput{Name: sdk.String("till")})
	s.ok(err)
	s.ami = *i.ImageId
	l, err := c.EC2().CreateLaunchTemplate(ctx, &ec2.CreateLaunchTemplateInput{LaunchTemplateName: sdk.String("till"),
		LaunchTemplateData: &types.RequestLaunchTemplateData{ImageId: i.ImageId, InstanceType: "t3.small"}})
	s.ok(err)
	s.lt = *l.LaunchTemplate.LaunchTemplateId
	g, err := c.LoadBalancing().CreateTargetGroup(ctx, &elb.CreateTargetGroupInput{Name: sdk.String("till"), VpcId: v.Vpc.VpcId, Port: sdk.Int32(80), Protocol: "HTTP", HealthCheckIntervalSeconds: sdk.Int32(10)})
	s.ok(err)
	s.tg = *g.TargetGroups[0].TargetGroupArn
	b, err := c.LoadBalancing().CreateLoadBalancer(ctx, &elb.CreateLoadBalancerInput{Name: sdk.String("lb"), Subnets: subnets})
	s.ok(err)
	x, err := c.LoadBalancing().CreateListener(ctx, &elb.CreateListenerInput{LoadBalancerArn: b.LoadBalancers[0].LoadBalancerArn, Port: sdk.Int32(80), Protocol: "HTTP",
		DefaultActions: []elbtypes.Action{{Type: "fixed-response", FixedResponseConfig: &elbtypes.FixedResponseActionConfig{StatusCode: sdk.String("404")}}}})
	s.ok(err)
	r, err := c.LoadBalancing().CreateRule(ctx, &elb.CreateRuleInput{ListenerArn: x.Listeners[0].ListenerArn, Priority: sdk.Int32(1), Actions: s.forward(s.tg, 1),
		Conditions: []elbtypes.RuleCondition{{Field: sdk.String("host-header"), HostHeaderConfig: &elbtypes.HostHeaderConditionConfig{Values: []string{"till.*"}}}}})
	s.ok(err)
	s.rule = *r.Rules[0].RuleArn
	_, err = c.AutoScaling().CreateAutoScalingGroup(ctx, &autoscaling.CreateAutoScalingGroupInput{AutoScalingGroupName: sdk.String("g"), MinSize: sdk.Int32(0), MaxSize: sdk.Int32(9),
		LaunchTemplate:    &astypes.LaunchTemplateSpecification{LaunchTemplateId: &s.lt, Version: sdk.String("1")},
		VPCZoneIdentifier: sdk.String(strings.Join(subnets, ",")), TargetGroupARNs: []string{s.tg}})
	s.ok(err)
	return s
}

func (s *scene) ok(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *scene) forward(arn string, weight int32) []elbtypes.Action {
	return []elbtypes.Action{{Type: "forward", ForwardConfig: &elbtypes.ForwardActionConfig{TargetGroups: []elbtypes.TargetGroupTuple{{TargetGroupArn: &arn, Weight: &weight}}}}}
}

func (s *scene) size(n int32) {
	s.t.Helper()
	_, err := s.cloud.AutoScaling().UpdateAutoScalingGroup(ctx, &autoscaling.UpdateAutoScalingGroupInput{AutoScalingGroupName: sdk.String("g"), DesiredCapacity: &n})
	s.ok(err)
}

func (s *scene) members() []astypes.Instance {
	s.t.Helper()
	out, err := s.cloud.AutoScaling().DescribeAutoScalingGroups(ctx, nil)
	s.ok(err)
	return out.AutoScalingGroups[0].Instances
}

// health is the state of all targets, in words.
func (s *scene) health() string {
	s.t.Helper()
	out, err := s.cloud.LoadBalancing().DescribeTargetHealth(ctx, &elb.DescribeTargetHealthInput{TargetGroupArn: &s.tg})
	s.ok(err)
	var all []string
	for _, d := range out.TargetHealthDescriptions {
		all = append(all, string(d.TargetHealth.State))
	}
	return strings.Join(all, " ")
}

// TestInstanceLives: pending, in service, healthy, served from all zones,
// draining as long as a request is in flight, gone.
func TestInstanceLives(t *testing.T) {
	t.Parallel()
	s := newScene(t, awsfake.Options{})
	s.size(6)
	s.clock.Step(5 * time.Second)
	zones := map[string]int{}
	for _, i := range s.members() {
		zones[*i.AvailabilityZone]++
		if i.LifecycleState != "Pending" {
			t.Errorf("after five seconds an instance is %s", i.LifecycleState)
		}
	}
	if len(zones) != 3 || zones["eu-central-1a"] != 2 {
		t.Errorf("spread over %v", zones)
	}
	s.clock.Step(35 * time.Second)
	if got := s.health(); got != "initial initial initial initial initial initial" {
		t.Errorf("in service they are %s", got)
	}
	s.clock.Step(5 * time.Second)
	if got := s.health(); got != "healthy healthy healthy healthy healthy healthy" {
		t.Errorf("checked they are %s", got)
	}
	r, err := s.cloud.Begin("lb", "till.example", "/")
	s.ok(err)
	s.size(0)
	s.clock.Step(60 * time.Second)
	if got := s.health(); got != "draining" {
		t.Errorf("with a request in flight they are %q", got)
	}
	if m := s.members(); len(m) != 1 || *m[0].InstanceId != r.Instance {
		t.Errorf("left: %+v", m)
	}
	s.ok(r.End())
	s.clock.Step(60 * time.Second)
	if m := s.members(); len(m) != 0 || s.health() != "" {
		t.Errorf("left at the end: %+v, %s", m, s.health())
	}
}

// TestDrainIsCut when its delay is over.
func TestDrainIsCut(t *testing.T) {
	t.Parallel()
	s := newScene(t, awsfake.Options{DrainShown: true})
	s.size(1)
	s.clock.Step(time.Minute)
	s.ok(s.cloud.Request(ctx, "lb", "till.example", "/"))
	r, err := s.cloud.Begin("lb", "till.example", "/")
	s.ok(err)
	s.size(0)
	s.clock.Step(299 * time.Second)
	if got := s.health(); got != "draining" {
		t.Errorf("%q", got)
	}
	s.clock.Step(2 * time.Minute)
	if err := r.End(); err == nil {
		t.Error("its instance has ended, and the request was served")
	}
}

// TestUnhealthy: a target that fails says why; its group replaces it.
func TestUnhealthy(t *testing.T) {
	t.Parallel()
	s := newScene(t, awsfake.Options{})
	s.cloud.SetBehaviour(s.ami, awsfake.Behaviour{Unhealthy: true})
	s.size(1)
	s.clock.Step(4 * time.Second)
	first := *s.members()[0].InstanceId
	s.clock.Step(90 * time.Second)
	if got := s.health(); got != "unhealthy" {
		t.Errorf("%q", got)
	}
	if err := s.cloud.Request(ctx, "lb", "till.example", "/"); err == nil || !strings.HasPrefix(err.Error(), "502") {
		t.Errorf("fails open, to nobody who answers: %v", err)
	}
	_, err := s.cloud.AutoScaling().UpdateAutoScalingGroup(ctx, &autoscaling.UpdateAutoScalingGroupInput{AutoScalingGroupName: sdk.String("g"), HealthCheckType: sdk.String("ELB")})
	s.ok(err)
	s.clock.Step(time.Minute)
	if m := s.members(); len(m) > 0 && *m[0].InstanceId == first {
		t.Errorf("it was not replaced: %+v", m)
	}
}

// TestWhatTheFakeRefuses: mistakes that moto takes.
func TestWhatTheFakeRefuses(t *testing.T) {
	t.Parallel()
	s := newScene(t, awsfake.Options{})
	s.size(1)
	s.clock.Step(time.Minute)
	pin := func(version string) error {
		_, err := s.cloud.AutoScaling().UpdateAutoScalingGroup(ctx, &autoscaling.UpdateAutoScalingGroupInput{AutoScalingGroupName: sdk.String("g"),
			LaunchTemplate: &astypes.LaunchTemplateSpecification{LaunchTemplateId: &s.lt, Version: &version}})
		return err
	}
	modify := func(actions []elbtypes.Action) error {
		_, err := s.cloud.LoadBalancing().ModifyRule(ctx, &elb.ModifyRuleInput{RuleArn: &s.rule, Actions: actions})
		return err
	}
	six := s.forward(s.tg, 1)
	for range 5 {
		six[0].ForwardConfig.TargetGroups = append(six[0].ForwardConfig.TargetGroups, six[0].ForwardConfig.TargetGroups[0])
	}
	_, filter := s.cloud.EC2().DescribeVpcs(ctx, &ec2.DescribeVpcsInput{Filters: []types.Filter{{Name: sdk.String("tags:x"), Values: []string{"y"}}}})
	_, busy := s.cloud.AutoScaling().DeleteAutoScalingGroup(ctx, &autoscaling.DeleteAutoScalingGroupInput{AutoScalingGroupName: sdk.String("g")})
	for name, c := range map[string]struct {
		err  error
		code string
	}{
		"$Latest":             {pin("$Latest"), "GodwitFakeRefuses"},
		"$Default":            {pin("$Default"), "GodwitFakeRefuses"},
		"no such version":     {pin("7"), "ValidationError"},
		"too heavy":           {modify(s.forward(s.tg, 1000)), "ValidationError"},
		"negative":            {modify(s.forward(s.tg, -1)), "ValidationError"},
		"no target group":     {modify(s.forward(s.tg+"x", 1)), "TargetGroupNotFound"},
		"six target groups":   {modify(six), "ValidationError"},
		"no such filter":      {filter, "InvalidParameterValue"},
		"a group with member": {busy, "ResourceInUse"},
	} {
		var api smithy.APIError
		if !errors.As(c.err, &api) || api.ErrorCode() != c.code {
			t.Errorf("%s: %v", name, c.err)
		}
	}
	s.ok(s.cloud.Request(ctx, "lb", "till.example", "/"))
}

// TestMetricsComeLate, by the minute, and in pages.
func TestMetricsComeLate(t *testing.T) {
	t.Parallel()
	s := newScene(t, awsfake.Options{Page: 1})
	s.size(1)
	s.clock.Step(time.Minute)
	s.cloud.SetBehaviour(s.ami, awsfake.Behaviour{Serve: func(n int) (int, time.Duration) {
		return []int{200, 500}[n%2], time.Duration(n+1) * time.Millisecond
	}})
	begun := s.clock.Now()
	for range 100 {
		_ = s.cloud.Request(ctx, "lb", "till.example", "/")
	}
	suffix := func(arn, kind string) *string { return sdk.String(arn[strings.Index(arn, kind):]) }
	balancers, err := s.cloud.LoadBalancing().DescribeLoadBalancers(ctx, nil)
	s.ok(err)
	lb := strings.TrimPrefix(*suffix(*balancers.LoadBalancers[0].LoadBalancerArn, "loadbalancer/"), "loadbalancer/")
	ask := func() map[string]float64 {
		query := func(id, metric, stat string) cwtypes.MetricDataQuery {
			return cwtypes.MetricDataQuery{Id: &id, MetricStat: &cwtypes.MetricStat{Period: sdk.Int32(60), Stat: &stat, Metric: &cwtypes.Metric{Namespace: sdk.String("AWS/ApplicationELB"), MetricName: &metric,
				Dimensions: []cwtypes.Dimension{{Name: sdk.String("LoadBalancer"), Value: &lb}, {Name: sdk.String("TargetGroup"), Value: suffix(s.tg, "targetgroup/")}}}}}
		}
		in, found := &cloudwatch.GetMetricDataInput{StartTime: &begun, EndTime: sdk.Time(s.clock.Now().Add(time.Minute)), MetricDataQueries: []cwtypes.MetricDataQuery{
			query("n", "RequestCount", "Sum"), query("e", "HTTPCode_Target_5XX_Count", "Sum"), query("p", "TargetResponseTime", "p99")}}, map[string]float64{}
		for {
			out, err := s.cloud.CloudWatch().GetMetricData(ctx, in)
			s.ok(err)
			for _, r := range out.MetricDataResults {
				for _, v := range r.Values {
					found[*r.Id] += v
				}
			}
			if in.NextToken = out.NextToken; in.NextToken == nil {
				return found
			}
		}
	}
	s.clock.Step(100 * time.Second)
	if got := ask(); len(got) != 0 {
		t.Errorf("too early there is %v", got)
	}
	s.clock.Step(60 * time.Second)
	if got := ask(); got["n"] != 100 || got["e"] != 50 || got["p"] != 0.099 {
		t.Errorf("there is %v", got)
	}
}

// TestRefreshReplaces all instances by the pinned version, one after the other.
func TestRefreshReplaces(t *testing.T) {
	t.Parallel()
	s := newScene(t, awsfake.Options{})
	s.size(2)
	s.clock.Step(2 * time.Minute)
	s.members()
	_, err := s.cloud.EC2().CreateLaunchTemplateVersion(ctx, &ec2.CreateLaunchTemplateVersionInput{LaunchTemplateId: &s.lt, SourceVersion: sdk.String("1"), ClientToken: sdk.String("x"),
		LaunchTemplateData: &types.RequestLaunchTemplateData{UserData: sdk.String("e30=")}})
	s.ok(err)
	_, err = s.cloud.AutoScaling().UpdateAutoScalingGroup(ctx, &autoscaling.UpdateAutoScalingGroupInput{AutoScalingGroupName: sdk.String("g"),
		LaunchTemplate: &astypes.LaunchTemplateSpecification{LaunchTemplateId: &s.lt, Version: sdk.String("2")}})
	s.ok(err)
	_, err = s.cloud.AutoScaling().StartInstanceRefresh(ctx, &autoscaling.StartInstanceRefreshInput{AutoScalingGroupName: sdk.String("g")})
	s.ok(err)
	status := func() astypes.InstanceRefreshStatus {
		out, err := s.cloud.AutoScaling().DescribeInstanceRefreshes(ctx, &autoscaling.DescribeInstanceRefreshesInput{AutoScalingGroupName: sdk.String("g")})
		s.ok(err)
		return out.InstanceRefreshes[0].Status
	}
	seen := []astypes.InstanceRefreshStatus{status()}
	for range 60 {
		s.clock.Step(10 * time.Second)
		if now := status(); now != seen[len(seen)-1] {
			seen = append(seen, now)
		}
	}
	if got := fmt.Sprint(seen); got != "[Pending InProgress Successful]" {
		t.Error(got)
	}
	for _, i := range s.members() {
		if *i.LaunchTemplate.Version != "2" || i.LifecycleState != "InService" {
			t.Errorf("%+v", i)
		}
	}
	if got := s.cloud.UserData(*s.members()[0].InstanceId); string(got) != "{}" {
		t.Errorf("user data %q", got)
	}
}

// TestCallsAreRetried as the SDK does: what is throttled comes through, what is
// expired does not, and an answer may be lost after the call was done.
func TestCallsAreRetried(t *testing.T) {
	t.Parallel()
	c := awsfake.New(awsfake.Options{})
	attempts := 0
	c.SetFaults(awsfake.Faults{Before: func(call awsfake.Call) error {
		if attempts++; attempts < 3 {
			return awsfake.Throttled(call)
		}
		return nil
	}})
	if _, err := c.STS().GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{}); err != nil || attempts != 3 {
		t.Errorf("%d attempts, %v", attempts, err)
	}
	attempts = 0
	c.SetFaults(awsfake.Faults{Before: func(call awsfake.Call) error { attempts++; return awsfake.Expired(call) }})
	if _, err := c.STS().GetCallerIdentity(ctx, nil); code(err) != "ExpiredToken" || attempts != 1 {
		t.Errorf("%d attempts, %v", attempts, err)
	}
	c.SetFaults(awsfake.Faults{After: awsfake.Denied})
	if _, err := c.EC2().CreateVpc(ctx, &ec2.CreateVpcInput{CidrBlock: sdk.String("10.0.0.0/16")}); code(err) != "UnauthorizedOperation" {
		t.Error(err)
	}
	c.SetFaults(awsfake.Faults{})
	if out, err := c.EC2().DescribeVpcs(ctx, nil); err != nil || len(out.Vpcs) != 1 {
		t.Errorf("its answer was lost, and so was what it did: %+v, %v", out, err)
	}
}
