package awsfake

import (
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
)

// refresh replaces the instances of a group by those of its pinned version.
type refresh struct {
	id             string
	status         types.InstanceRefreshStatus
	started, ended time.Time
}

func (r *refresh) over() bool { return !r.ended.IsZero() }

// StartInstanceRefresh implements the SDK's method.
func (a AutoScaling) StartInstanceRefresh(ctx ctx, in *autoscaling.StartInstanceRefreshInput, _ ...func(*autoscaling.Options)) (*autoscaling.StartInstanceRefreshOutput, error) {
	return call(ctx, a.c, autoScalingID, "StartInstanceRefresh", write, in, func(in *autoscaling.StartInstanceRefreshInput) (*autoscaling.StartInstanceRefreshOutput, error) {
		g, err := a.c.group(in.AutoScalingGroupName)
		if err != nil {
			return nil, err
		}
		if n := len(g.refreshes); n > 0 && !g.refreshes[n-1].over() {
			return nil, &types.InstanceRefreshInProgressFault{Message: aws.String("An Instance Refresh is already in progress and blocks the execution of this Instance Refresh.")}
		}
		r := &refresh{id: a.c.id("refresh"), status: types.InstanceRefreshStatusPending, started: a.c.now}
		g.refreshes = append(g.refreshes, r)
		a.c.after(max(a.c.options.Scale, time.Millisecond), func() { a.c.refreshed(g, r) })
		return &autoscaling.StartInstanceRefreshOutput{InstanceRefreshId: aws.String(r.id)}, nil
	})
}

// refreshed goes one instance further, until all are of the pinned version.
func (c *Cloud) refreshed(g *group, r *refresh) {
	if r.over() || g.deleted {
		return
	}
	r.status = types.InstanceRefreshStatusInProgress
	settled := len(g.members) == g.desired
	for _, i := range g.members {
		settled = settled && i.lifecycle == types.LifecycleStateInService
	}
	old := slices.IndexFunc(g.members, func(i *instance) bool { return i.template != g.template || strconv.Itoa(i.version) != g.version })
	switch {
	case settled && old < 0:
		r.status, r.ended = types.InstanceRefreshStatusSuccessful, c.now
		return
	case settled:
		c.terminate(g.members[old], "an instance refresh")
		c.review(g)
	}
	c.after(time.Second, func() { c.refreshed(g, r) })
}

// CancelInstanceRefresh implements the SDK's method.
func (a AutoScaling) CancelInstanceRefresh(ctx ctx, in *autoscaling.CancelInstanceRefreshInput, _ ...func(*autoscaling.Options)) (*autoscaling.CancelInstanceRefreshOutput, error) {
	return call(ctx, a.c, autoScalingID, "CancelInstanceRefresh", write, in, func(in *autoscaling.CancelInstanceRefreshInput) (*autoscaling.CancelInstanceRefreshOutput, error) {
		g, err := a.c.group(in.AutoScalingGroupName)
		if err != nil {
			return nil, err
		}
		n := len(g.refreshes)
		if n == 0 || g.refreshes[n-1].over() {
			return nil, &types.ActiveInstanceRefreshNotFoundFault{Message: aws.String("No in progress or pending Instance Refresh found for Auto Scaling group " + g.name)}
		}
		r := g.refreshes[n-1]
		r.status, r.ended = types.InstanceRefreshStatusCancelled, a.c.now
		return &autoscaling.CancelInstanceRefreshOutput{InstanceRefreshId: aws.String(r.id)}, nil
	})
}

// DescribeInstanceRefreshes implements the SDK's method; the newest comes first.
func (a AutoScaling) DescribeInstanceRefreshes(ctx ctx, in *autoscaling.DescribeInstanceRefreshesInput, _ ...func(*autoscaling.Options)) (*autoscaling.DescribeInstanceRefreshesOutput, error) {
	return call(ctx, a.c, autoScalingID, "DescribeInstanceRefreshes", read, in, func(in *autoscaling.DescribeInstanceRefreshesInput) (*autoscaling.DescribeInstanceRefreshesOutput, error) {
		g, err := a.c.group(in.AutoScalingGroupName)
		if err != nil {
			return nil, err
		}
		var found []types.InstanceRefresh
		for _, r := range slices.Backward(g.refreshes) {
			d := types.InstanceRefresh{AutoScalingGroupName: aws.String(g.name), InstanceRefreshId: aws.String(r.id), Status: r.status, StartTime: aws.Time(r.started)}
			if r.over() {
				d.EndTime = aws.Time(r.ended)
			}
			found = append(found, d)
		}
		part, next, err := page(a.c, found, in.NextToken, in.MaxRecords, 100)
		return &autoscaling.DescribeInstanceRefreshesOutput{InstanceRefreshes: part, NextToken: next}, err
	})
}
