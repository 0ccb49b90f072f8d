package awsfake

import (
	"cmp"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// hook is a lifecycle hook: it holds an instance on its way in or out.
type hook struct {
	name, transition, result string
	heartbeat                time.Duration
}

const (
	launching   = "autoscaling:EC2_INSTANCE_LAUNCHING"
	terminating = "autoscaling:EC2_INSTANCE_TERMINATING"

	abandon = "ABANDON"
)

func newHook(name, transition, result *string, heartbeat *int32) *hook {
	h := &hook{aws.ToString(name), aws.ToString(transition), cmp.Or(aws.ToString(result), abandon), time.Hour}
	if heartbeat != nil {
		h.heartbeat = time.Duration(*heartbeat) * time.Second
	}
	return h
}

func (h *hook) valid() error {
	switch {
	case h.transition != terminating && h.transition != launching:
		return validation("Lifecycle Transition %q is not valid", h.transition)
	case h.result != "CONTINUE" && h.result != abandon:
		return validation("Lifecycle Action Result %q is not valid", h.result)
	case h.heartbeat < 30*time.Second || h.heartbeat > 2*time.Hour:
		return validation("Heartbeat Timeout %v is not between 30 and 7200 seconds", h.heartbeat)
	}
	return nil
}

// hook of a transition. Several of the same are more than godwit has.
func (g *group) hook(transition string) *hook {
	for _, h := range g.hooks {
		if h.transition == transition {
			return h
		}
	}
	return nil
}

// hold keeps an instance where it is, until somebody completes the hook or its
// time is over. On its way in the agent on it does so, when the service answers.
func (c *Cloud) hold(i *instance, h *hook) {
	i.hook, i.lifecycle, i.activity.status = h, types.LifecycleStateTerminatingWait, types.ScalingActivityStatusCodeMidLifecycleAction
	c.after(h.heartbeat, func() {
		if i.hook == h {
			c.complete(i, h.result, "Heartbeat Timeout")
		}
	})
	if h.transition == launching {
		i.lifecycle = types.LifecycleStatePendingWait
		c.after(c.options.Answer, func() {
			if i.hook == h && i.state == ec2types.InstanceStateNameRunning && !i.image.behaviour.Unhealthy {
				c.complete(i, "CONTINUE", "")
			}
		})
	}
}

// complete ends the hook that holds an instance. Whatever the result, who is
// leaving leaves; who is coming goes into service, or is given up for another.
func (c *Cloud) complete(i *instance, result, why string) {
	h := i.hook
	i.hook = nil
	switch {
	case h.transition == terminating:
		c.proceed(i)
	case result == abandon:
		i.activity.message = "Instance failed to complete user's Lifecycle Action: Lifecycle Action with token " + c.id("token") + " was abandoned: " + why
		i.activity.description += ".  Status Reason: " + i.activity.message
		i.activity.status, i.activity.ended = types.ScalingActivityStatusCodeCancelled, c.now
		c.terminate(i, "an instance failing to complete its lifecycle action")
		c.review(i.group)
	default:
		i.lifecycle = types.LifecycleStatePendingProceed
		c.after(0, func() {
			if i.lifecycle == types.LifecycleStatePendingProceed {
				c.inService(i)
			}
		})
	}
}

// PutLifecycleHook implements the SDK's method.
func (a AutoScaling) PutLifecycleHook(ctx ctx, in *autoscaling.PutLifecycleHookInput, _ ...func(*autoscaling.Options)) (*autoscaling.PutLifecycleHookOutput, error) {
	return call(ctx, a.c, autoScalingID, "PutLifecycleHook", write, in, func(in *autoscaling.PutLifecycleHookInput) (*autoscaling.PutLifecycleHookOutput, error) {
		g, err := a.c.group(in.AutoScalingGroupName)
		if err != nil {
			return nil, err
		}
		h := newHook(in.LifecycleHookName, in.LifecycleTransition, in.DefaultResult, in.HeartbeatTimeout)
		if err := h.valid(); err != nil {
			return nil, err
		}
		g.hooks[h.name] = h
		return &autoscaling.PutLifecycleHookOutput{}, nil
	})
}

// DescribeLifecycleHooks implements the SDK's method.
func (a AutoScaling) DescribeLifecycleHooks(ctx ctx, in *autoscaling.DescribeLifecycleHooksInput, _ ...func(*autoscaling.Options)) (*autoscaling.DescribeLifecycleHooksOutput, error) {
	return call(ctx, a.c, autoScalingID, "DescribeLifecycleHooks", read, in, func(in *autoscaling.DescribeLifecycleHooksInput) (*autoscaling.DescribeLifecycleHooksOutput, error) {
		g, err := a.c.group(in.AutoScalingGroupName)
		if err != nil {
			return nil, err
		}
		out := &autoscaling.DescribeLifecycleHooksOutput{}
		for _, name := range sorted(g.hooks) {
			if h := g.hooks[name]; len(in.LifecycleHookNames) == 0 || slices.Contains(in.LifecycleHookNames, name) {
				seconds := int32(h.heartbeat / time.Second)
				out.LifecycleHooks = append(out.LifecycleHooks, types.LifecycleHook{AutoScalingGroupName: &g.name, LifecycleHookName: &h.name,
					LifecycleTransition: &h.transition, DefaultResult: &h.result, HeartbeatTimeout: &seconds, GlobalTimeout: aws.Int32(min(172800, 100*seconds))})
			}
		}
		return out, nil
	})
}

// CompleteLifecycleAction implements the SDK's method.
func (a AutoScaling) CompleteLifecycleAction(ctx ctx, in *autoscaling.CompleteLifecycleActionInput, _ ...func(*autoscaling.Options)) (*autoscaling.CompleteLifecycleActionOutput, error) {
	return call(ctx, a.c, autoScalingID, "CompleteLifecycleAction", write, in, func(in *autoscaling.CompleteLifecycleActionInput) (*autoscaling.CompleteLifecycleActionOutput, error) {
		g, err := a.c.group(in.AutoScalingGroupName)
		if err != nil {
			return nil, err
		}
		result := aws.ToString(in.LifecycleActionResult)
		if result != "CONTINUE" && result != abandon {
			return nil, validation("Lifecycle Action Result %q is not valid", result)
		}
		i := a.c.ec2.instances[aws.ToString(in.InstanceId)]
		if i == nil || i.group != g || i.hook == nil || i.hook.name != aws.ToString(in.LifecycleHookName) {
			return nil, validation("No active Lifecycle Action found with instance ID %s", aws.ToString(in.InstanceId))
		}
		a.c.complete(i, result, "Lifecycle Action Completed with "+result+" Result")
		return &autoscaling.CompleteLifecycleActionOutput{}, nil
	})
}
