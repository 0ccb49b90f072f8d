package awsfake

import (
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
)

// AttachLoadBalancerTargetGroups implements the SDK's method: who is in service is
// registered, as Terraform has it done where a service gets its first load balancer.
func (a AutoScaling) AttachLoadBalancerTargetGroups(ctx ctx, in *autoscaling.AttachLoadBalancerTargetGroupsInput, _ ...func(*autoscaling.Options)) (*autoscaling.AttachLoadBalancerTargetGroupsOutput, error) {
	return call(ctx, a.c, autoScalingID, "AttachLoadBalancerTargetGroups", write, in, func(in *autoscaling.AttachLoadBalancerTargetGroupsInput) (*autoscaling.AttachLoadBalancerTargetGroupsOutput, error) {
		g, err := a.c.group(in.AutoScalingGroupName)
		if err != nil {
			return nil, err
		}
		for _, arn := range in.TargetGroupARNs {
			if a.c.lb.groups[arn] == nil {
				return nil, validation("Provided Target Groups may not be valid. Please ensure they exist and try again.")
			}
		}
		for _, arn := range in.TargetGroupARNs {
			if slices.Contains(g.targetGroups, arn) {
				continue
			}
			g.targetGroups = append(g.targetGroups, arn)
			for _, i := range g.members {
				if tg := a.c.lb.groups[arn]; i.lifecycle == types.LifecycleStateInService && !g.suspended["AddToLoadBalancer"] {
					a.c.register(tg, i.id, tg.port)
				}
			}
		}
		return &autoscaling.AttachLoadBalancerTargetGroupsOutput{}, nil
	})
}

// DetachLoadBalancerTargetGroups implements the SDK's method: members drain there.
func (a AutoScaling) DetachLoadBalancerTargetGroups(ctx ctx, in *autoscaling.DetachLoadBalancerTargetGroupsInput, _ ...func(*autoscaling.Options)) (*autoscaling.DetachLoadBalancerTargetGroupsOutput, error) {
	return call(ctx, a.c, autoScalingID, "DetachLoadBalancerTargetGroups", write, in, func(in *autoscaling.DetachLoadBalancerTargetGroupsInput) (*autoscaling.DetachLoadBalancerTargetGroupsOutput, error) {
		g, err := a.c.group(in.AutoScalingGroupName)
		if err != nil {
			return nil, err
		}
		for _, arn := range in.TargetGroupARNs {
			if i := slices.Index(g.targetGroups, arn); i >= 0 {
				g.targetGroups = slices.Delete(g.targetGroups, i, i+1)
			}
			for _, i := range g.members {
				if tg := a.c.lb.groups[arn]; tg != nil {
					a.c.deregister(tg, i.id)
				}
			}
		}
		return &autoscaling.DetachLoadBalancerTargetGroupsOutput{}, nil
	})
}
