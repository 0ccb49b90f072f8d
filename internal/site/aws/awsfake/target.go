package awsfake

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
)

// targetGroup checks its targets' health, as long as a rule forwards to it.
type targetGroup struct {
	arn, name, vpc, path string
	port                 int32
	protocol             types.ProtocolEnum
	kind                 types.TargetTypeEnum
	interval, timeout    int32
	healthy, unhealthy   int32 // thresholds
	matcher              string
	delay                time.Duration // of deregistration
	targets              map[string]*target
	turn                 int // of the round robin
}

type target struct {
	id       string
	port     int32
	state    types.TargetHealthStateEnum
	reason   types.TargetHealthReasonEnum
	streak   int32 // checks in a row that speak against the state
	inFlight int
	gone     bool
}

// register makes a target; one that is draining starts anew, and keeps its requests.
func (c *Cloud) register(tg *targetGroup, id string, port int32) {
	t := tg.targets[id]
	if t != nil && t.state != types.TargetHealthStateEnumDraining {
		return
	}
	if t == nil {
		t = &target{id: id}
		tg.targets[id] = t
	}
	t.port, t.state, t.reason, t.streak = port, types.TargetHealthStateEnumInitial, types.TargetHealthReasonEnumRegistrationInProgress, 0
	c.after(c.options.Register, func() { c.check(tg, t) })
}

// check is one health check, and plans the next.
func (c *Cloud) check(tg *targetGroup, t *target) {
	if tg.targets[t.id] != t || t.state == types.TargetHealthStateEnumDraining {
		return
	}
	interval := c.options.HealthCheck
	if interval == 0 {
		interval = time.Duration(tg.interval) * time.Second
	}
	defer c.after(max(interval, time.Millisecond), func() { c.check(tg, t) })
	if len(c.users(tg.arn)) == 0 {
		t.state, t.reason, t.streak = types.TargetHealthStateEnumInitial, types.TargetHealthReasonEnumRegistrationInProgress, 0
		return
	}
	i := c.ec2.instances[t.id]
	c.judged(tg, t, i == nil || i.state == ec2types.InstanceStateNameRunning && !i.image.behaviour.Unhealthy)
	if i != nil && i.group != nil && i.group.health == "ELB" && t.state == types.TargetHealthStateEnumUnhealthy && !c.now.Before(i.launched.Add(i.group.grace)) {
		c.replace(i.group, i, "an ELB system health check failure")
	}
}

// judged: a new target needs one check that passes; any other as many in a row as
// its group says.
func (c *Cloud) judged(tg *targetGroup, t *target, passes bool) {
	initial := t.state == types.TargetHealthStateEnumInitial
	switch {
	case initial && passes:
		t.streak = tg.healthy
	case !initial && passes == (t.state == types.TargetHealthStateEnumHealthy):
		t.streak = 0
		return
	default:
		t.streak++
	}
	switch {
	case passes && t.streak >= tg.healthy:
		t.state, t.reason, t.streak = types.TargetHealthStateEnumHealthy, "", 0
	case !passes && t.streak >= tg.unhealthy:
		t.state, t.reason, t.streak = types.TargetHealthStateEnumUnhealthy, types.TargetHealthReasonEnumFailedHealthChecks, 0
	case initial:
		t.reason = types.TargetHealthReasonEnumInitialHealthChecking
	}
}

// deregister drains a target: no new requests; it is gone with its last one, or
// when the delay is over.
func (c *Cloud) deregister(tg *targetGroup, id string) {
	t := tg.targets[id]
	if t == nil || t.state == types.TargetHealthStateEnumDraining {
		return
	}
	t.state, t.reason = types.TargetHealthStateEnumDraining, types.TargetHealthReasonEnumDeregistrationInProgress
	c.after(tg.delay, func() { c.drop(tg, t) })
	if !c.options.DrainShown || len(c.users(tg.arn)) == 0 {
		c.after(0, func() { c.drained(tg, t) })
	}
}

func (c *Cloud) drained(tg *targetGroup, t *target) {
	if t.inFlight == 0 && !c.options.DrainShown {
		c.drop(tg, t)
	}
}

// drop removes a target that drains; what is still in flight there is cut.
func (c *Cloud) drop(tg *targetGroup, t *target) {
	if tg.targets[t.id] != t || t.state != types.TargetHealthStateEnumDraining {
		return
	}
	t.gone = true
	delete(tg.targets, t.id)
	if i := c.ec2.instances[t.id]; i != nil {
		c.proceed(i)
	}
}

// registered: some target group still has it, draining or not.
func (c *Cloud) registered(id string) bool {
	for _, tg := range c.lb.groups {
		if tg.targets[id] != nil {
			return true
		}
	}
	return false
}

func (t *target) describe(used bool) types.TargetHealthDescription {
	h := &types.TargetHealth{State: t.state, Reason: t.reason}
	if !used && t.state != types.TargetHealthStateEnumDraining {
		h.State, h.Reason = types.TargetHealthStateEnumUnused, types.TargetHealthReasonEnumNotInUse
	}
	if text := explained(h.Reason); text != "" {
		h.Description = aws.String(text)
	}
	return types.TargetHealthDescription{Target: &types.TargetDescription{Id: aws.String(t.id), Port: aws.Int32(t.port)},
		HealthCheckPort: aws.String(strconv.Itoa(int(t.port))), TargetHealth: h}
}

func explained(r types.TargetHealthReasonEnum) string {
	switch r {
	case types.TargetHealthReasonEnumNotInUse:
		return "Target group is not configured to receive traffic from the load balancer"
	case types.TargetHealthReasonEnumRegistrationInProgress:
		return "Target registration is in progress"
	case types.TargetHealthReasonEnumInitialHealthChecking:
		return "Initial health checks in progress"
	case types.TargetHealthReasonEnumFailedHealthChecks:
		return "Health checks failed"
	case types.TargetHealthReasonEnumDeregistrationInProgress:
		return "Target deregistration is in progress"
	case types.TargetHealthReasonEnumNotRegistered:
		return "Target is not registered to the target group"
	}
	return ""
}

func noTargetGroup(asked string) error {
	return &types.TargetGroupNotFoundException{Message: aws.String("Target groups '" + asked + "' not found")}
}

func (tg *targetGroup) describe(c *Cloud) types.TargetGroup {
	return types.TargetGroup{TargetGroupArn: aws.String(tg.arn), TargetGroupName: aws.String(tg.name), VpcId: aws.String(tg.vpc), Port: aws.Int32(tg.port),
		Protocol: tg.protocol, TargetType: tg.kind, HealthCheckEnabled: aws.Bool(true), HealthCheckPath: aws.String(tg.path), HealthCheckPort: aws.String("traffic-port"),
		HealthCheckProtocol: tg.protocol, HealthCheckIntervalSeconds: aws.Int32(tg.interval), HealthCheckTimeoutSeconds: aws.Int32(tg.timeout),
		HealthyThresholdCount: aws.Int32(tg.healthy), UnhealthyThresholdCount: aws.Int32(tg.unhealthy), Matcher: &types.Matcher{HttpCode: aws.String(tg.matcher)},
		LoadBalancerArns: c.users(tg.arn), ProtocolVersion: aws.String("HTTP1"), IpAddressType: types.TargetGroupIpAddressTypeEnumIpv4}
}

func or32(n *int32, standard int32) int32 {
	if n == nil {
		return standard
	}
	return *n
}

// CreateTargetGroup implements the SDK's method.
func (l LoadBalancing) CreateTargetGroup(ctx ctx, in *elb.CreateTargetGroupInput, _ ...func(*elb.Options)) (*elb.CreateTargetGroupOutput, error) {
	return call(ctx, l.c, elbID, "CreateTargetGroup", write, in, func(in *elb.CreateTargetGroupInput) (*elb.CreateTargetGroupOutput, error) {
		name := aws.ToString(in.Name)
		if len(name) > 32 {
			return nil, validation("Target group name '%s' cannot be longer than '32' characters", name)
		}
		for _, tg := range l.c.lb.groups {
			if tg.name == name {
				return nil, &types.DuplicateTargetGroupNameException{Message: aws.String("A target group with the same name '" + name + "' exists, but with different settings")}
			}
		}
		if l.c.ec2.vpcs[aws.ToString(in.VpcId)] == nil {
			return nil, validation("The VPC ID '%s' is not found", aws.ToString(in.VpcId))
		}
		l.c.serial++
		tg := &targetGroup{arn: l.c.arn("elasticloadbalancing", "targetgroup/%s/%016x", name, l.c.serial), name: name, vpc: *in.VpcId, port: aws.ToInt32(in.Port),
			protocol: in.Protocol, path: cmp.Or(aws.ToString(in.HealthCheckPath), "/"), kind: cmp.Or(in.TargetType, types.TargetTypeEnumInstance),
			interval: or32(in.HealthCheckIntervalSeconds, 30), timeout: or32(in.HealthCheckTimeoutSeconds, 5), healthy: or32(in.HealthyThresholdCount, 5),
			unhealthy: or32(in.UnhealthyThresholdCount, 2), matcher: "200", delay: 300 * time.Second, targets: map[string]*target{}}
		if in.Matcher != nil && in.Matcher.HttpCode != nil {
			tg.matcher = *in.Matcher.HttpCode
		}
		l.c.lb.groups[tg.arn], l.c.lb.tags[tg.arn] = tg, elbTags(in.Tags)
		return &elb.CreateTargetGroupOutput{TargetGroups: []types.TargetGroup{tg.describe(l.c)}}, nil
	})
}

// DescribeTargetGroups implements the SDK's method.
func (l LoadBalancing) DescribeTargetGroups(ctx ctx, in *elb.DescribeTargetGroupsInput, _ ...func(*elb.Options)) (*elb.DescribeTargetGroupsOutput, error) {
	return call(ctx, l.c, elbID, "DescribeTargetGroups", read, in, func(in *elb.DescribeTargetGroupsInput) (*elb.DescribeTargetGroupsOutput, error) {
		if in.LoadBalancerArn != nil && l.c.lb.balancers[*in.LoadBalancerArn] == nil {
			return nil, noBalancer(*in.LoadBalancerArn)
		}
		asked, known := slices.Concat(in.Names, in.TargetGroupArns), map[string]bool{}
		var found []types.TargetGroup
		for _, arn := range sorted(l.c.lb.groups) {
			tg := l.c.lb.groups[arn]
			known[arn], known[tg.name] = true, true
			if in.LoadBalancerArn != nil && !slices.Contains(l.c.users(arn), *in.LoadBalancerArn) {
				continue
			}
			if len(asked) == 0 || slices.Contains(asked, arn) || slices.Contains(asked, tg.name) {
				found = append(found, tg.describe(l.c))
			}
		}
		for _, one := range asked {
			if !known[one] {
				return nil, noTargetGroup(one)
			}
		}
		part, next, err := page(l.c, found, in.Marker, in.PageSize, 400)
		return &elb.DescribeTargetGroupsOutput{TargetGroups: part, NextMarker: next}, err
	})
}

// DeleteTargetGroup implements the SDK's method.
func (l LoadBalancing) DeleteTargetGroup(ctx ctx, in *elb.DeleteTargetGroupInput, _ ...func(*elb.Options)) (*elb.DeleteTargetGroupOutput, error) {
	return call(ctx, l.c, elbID, "DeleteTargetGroup", write, in, func(in *elb.DeleteTargetGroupInput) (*elb.DeleteTargetGroupOutput, error) {
		arn := aws.ToString(in.TargetGroupArn)
		if len(l.c.users(arn)) > 0 {
			return nil, &types.ResourceInUseException{Message: aws.String("Target group '" + arn + "' is currently in use by a listener or a rule")}
		}
		delete(l.c.lb.groups, arn)
		delete(l.c.lb.tags, arn)
		return &elb.DeleteTargetGroupOutput{}, nil
	})
}

// ModifyTargetGroupAttributes implements the SDK's method, for the deregistration delay.
func (l LoadBalancing) ModifyTargetGroupAttributes(ctx ctx, in *elb.ModifyTargetGroupAttributesInput, _ ...func(*elb.Options)) (*elb.ModifyTargetGroupAttributesOutput, error) {
	return call(ctx, l.c, elbID, "ModifyTargetGroupAttributes", write, in, func(in *elb.ModifyTargetGroupAttributesInput) (*elb.ModifyTargetGroupAttributesOutput, error) {
		tg := l.c.lb.groups[aws.ToString(in.TargetGroupArn)]
		if tg == nil {
			return nil, noTargetGroup(aws.ToString(in.TargetGroupArn))
		}
		for _, a := range in.Attributes {
			if aws.ToString(a.Key) != "deregistration_delay.timeout_seconds" {
				return nil, fail(400, "GodwitFakeRefuses", "the fake knows attribute deregistration_delay.timeout_seconds only, not %s", aws.ToString(a.Key))
			}
			n, err := strconv.Atoi(aws.ToString(a.Value))
			if err != nil || n < 0 || n > 3600 {
				return nil, validation("'%s' must be between 0 and 3600", aws.ToString(a.Key))
			}
			tg.delay = time.Duration(n) * time.Second
		}
		return &elb.ModifyTargetGroupAttributesOutput{Attributes: slices.Clone(in.Attributes)}, nil
	})
}

// RegisterTargets implements the SDK's method.
func (l LoadBalancing) RegisterTargets(ctx ctx, in *elb.RegisterTargetsInput, _ ...func(*elb.Options)) (*elb.RegisterTargetsOutput, error) {
	return call(ctx, l.c, elbID, "RegisterTargets", write, in, func(in *elb.RegisterTargetsInput) (*elb.RegisterTargetsOutput, error) {
		tg := l.c.lb.groups[aws.ToString(in.TargetGroupArn)]
		if tg == nil {
			return nil, noTargetGroup(aws.ToString(in.TargetGroupArn))
		}
		for _, t := range in.Targets {
			if i := l.c.ec2.instances[aws.ToString(t.Id)]; tg.kind == types.TargetTypeEnumInstance && (i == nil || i.state != ec2types.InstanceStateNameRunning) {
				return nil, &types.InvalidTargetException{Message: aws.String("The following targets are not in a running state and cannot be registered: '" + aws.ToString(t.Id) + "'")}
			}
		}
		for _, t := range in.Targets {
			l.c.register(tg, *t.Id, or32(t.Port, tg.port))
		}
		return &elb.RegisterTargetsOutput{}, nil
	})
}

// DeregisterTargets implements the SDK's method.
func (l LoadBalancing) DeregisterTargets(ctx ctx, in *elb.DeregisterTargetsInput, _ ...func(*elb.Options)) (*elb.DeregisterTargetsOutput, error) {
	return call(ctx, l.c, elbID, "DeregisterTargets", write, in, func(in *elb.DeregisterTargetsInput) (*elb.DeregisterTargetsOutput, error) {
		tg := l.c.lb.groups[aws.ToString(in.TargetGroupArn)]
		if tg == nil {
			return nil, noTargetGroup(aws.ToString(in.TargetGroupArn))
		}
		for _, t := range in.Targets {
			l.c.deregister(tg, aws.ToString(t.Id))
		}
		return &elb.DeregisterTargetsOutput{}, nil
	})
}

// DescribeTargetHealth implements the SDK's method.
func (l LoadBalancing) DescribeTargetHealth(ctx ctx, in *elb.DescribeTargetHealthInput, _ ...func(*elb.Options)) (*elb.DescribeTargetHealthOutput, error) {
	return call(ctx, l.c, elbID, "DescribeTargetHealth", read, in, func(in *elb.DescribeTargetHealthInput) (*elb.DescribeTargetHealthOutput, error) {
		tg := l.c.lb.groups[aws.ToString(in.TargetGroupArn)]
		if tg == nil {
			return nil, noTargetGroup(aws.ToString(in.TargetGroupArn))
		}
		used, out := len(l.c.users(tg.arn)) > 0, &elb.DescribeTargetHealthOutput{}
		if len(in.Targets) == 0 {
			for _, id := range sorted(tg.targets) {
				out.TargetHealthDescriptions = append(out.TargetHealthDescriptions, tg.targets[id].describe(used))
			}
			return out, nil
		}
		for _, asked := range in.Targets {
			t := tg.targets[aws.ToString(asked.Id)]
			if t == nil {
				t = &target{id: aws.ToString(asked.Id), port: or32(asked.Port, tg.port), state: types.TargetHealthStateEnumUnused, reason: types.TargetHealthReasonEnumNotRegistered}
				out.TargetHealthDescriptions = append(out.TargetHealthDescriptions, t.describe(true))
				continue
			}
			out.TargetHealthDescriptions = append(out.TargetHealthDescriptions, t.describe(used))
		}
		return out, nil
	})
}
