package awsfake

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
)

const autoScalingID = "Auto Scaling"

// AutoScaling is the client of groups.
type AutoScaling struct{ c *Cloud }

// AutoScaling returns a client.
func (c *Cloud) AutoScaling() AutoScaling { return AutoScaling{c} }

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func (c *Cloud) group(name *string) (*group, error) {
	if g := c.groups[aws.ToString(name)]; g != nil {
		return g, nil
	}
	return nil, validation("AutoScalingGroup name not found - AutoScalingGroup '%s' not found", aws.ToString(name))
}

// DescribeAutoScalingGroups implements the SDK's method. Names that do not exist
// are left out without an error.
func (a AutoScaling) DescribeAutoScalingGroups(ctx ctx, in *autoscaling.DescribeAutoScalingGroupsInput, _ ...func(*autoscaling.Options)) (*autoscaling.DescribeAutoScalingGroupsOutput, error) {
	return call(ctx, a.c, autoScalingID, "DescribeAutoScalingGroups", read, in, func(in *autoscaling.DescribeAutoScalingGroupsInput) (*autoscaling.DescribeAutoScalingGroupsOutput, error) {
		var found []types.AutoScalingGroup
		for _, name := range sorted(a.c.groups) {
			g := a.c.groups[name]
			ok, err := g.matches(in.Filters)
			if err != nil {
				return nil, err
			}
			if ok && (len(in.AutoScalingGroupNames) == 0 || slices.Contains(in.AutoScalingGroupNames, name)) {
				found = append(found, g.describe(a.c))
			}
		}
		most := 50
		if in.MaxRecords != nil {
			most = 100
		}
		part, next, err := page(a.c, found, in.NextToken, in.MaxRecords, most)
		return &autoscaling.DescribeAutoScalingGroupsOutput{AutoScalingGroups: part, NextToken: next}, err
	})
}

func (g *group) matches(filters []types.Filter) (bool, error) {
	for _, f := range filters {
		name, holds := aws.ToString(f.Name), false
		for key, t := range g.tags {
			switch {
			case name == "tag-key" || name == "key":
				holds = holds || slices.Contains(f.Values, key)
			case name == "tag-value" || name == "value":
				holds = holds || slices.Contains(f.Values, t.value)
			case strings.HasPrefix(name, "tag:"):
				holds = holds || name[4:] == key && slices.Contains(f.Values, t.value)
			default:
				return false, validation("The filter '%s' is invalid", name)
			}
		}
		if !holds {
			return false, nil
		}
	}
	return true, nil
}

// CreateAutoScalingGroup implements the SDK's method.
func (a AutoScaling) CreateAutoScalingGroup(ctx ctx, in *autoscaling.CreateAutoScalingGroupInput, _ ...func(*autoscaling.Options)) (*autoscaling.CreateAutoScalingGroupOutput, error) {
	return call(ctx, a.c, autoScalingID, "CreateAutoScalingGroup", write, in, func(in *autoscaling.CreateAutoScalingGroupInput) (*autoscaling.CreateAutoScalingGroupOutput, error) {
		name := aws.ToString(in.AutoScalingGroupName)
		if a.c.groups[name] != nil {
			return nil, &types.AlreadyExistsFault{Message: aws.String("AutoScalingGroup by this name already exists - A group with the name " + name + " already exists")}
		}
		g := &group{name: name, created: a.c.now, min: int(aws.ToInt32(in.MinSize)), max: int(aws.ToInt32(in.MaxSize)), health: cmp.Or(aws.ToString(in.HealthCheckType), "EC2"),
			grace: time.Duration(aws.ToInt32(in.HealthCheckGracePeriod)) * time.Second, protect: aws.ToBool(in.NewInstancesProtectedFromScaleIn),
			targetGroups: slices.Clone(in.TargetGroupARNs), tags: map[string]groupTag{}, suspended: map[string]bool{}, hooks: map[string]*hook{}}
		g.desired = g.min
		if in.DesiredCapacity != nil {
			g.desired = int(*in.DesiredCapacity)
		}
		if err := a.c.pin(g, in.LaunchTemplate); err != nil {
			return nil, err
		}
		if err := a.c.place(g, in.VPCZoneIdentifier); err != nil {
			return nil, err
		}
		for _, arn := range g.targetGroups {
			if a.c.lb.groups[arn] == nil {
				return nil, validation("Provided Target Groups may not be valid. Please ensure they exist and try again.")
			}
		}
		for _, t := range in.Tags {
			g.tags[aws.ToString(t.Key)] = groupTag{aws.ToString(t.Value), aws.ToBool(t.PropagateAtLaunch)}
		}
		for _, h := range in.LifecycleHookSpecificationList {
			g.hooks[aws.ToString(h.LifecycleHookName)] = newHook(h.LifecycleHookName, h.LifecycleTransition, h.DefaultResult, h.HeartbeatTimeout)
		}
		if err := g.sized(); err != nil {
			return nil, err
		}
		a.c.groups[name] = g
		a.c.review(g)
		return &autoscaling.CreateAutoScalingGroupOutput{}, nil
	})
}

func (g *group) sized() error {
	if g.min > g.max {
		return validation("Max bound, %d, must be greater than or equal to min bound, %d", g.max, g.min)
	}
	if g.desired < g.min || g.desired > g.max {
		return validation("Desired capacity:%d must be between the specified min size:%d and max size:%d", g.desired, g.min, g.max)
	}
	return nil
}

// pin keeps the launch template and the number of its version.
func (c *Cloud) pin(g *group, s *types.LaunchTemplateSpecification) error {
	if s == nil {
		return validation("Valid requests must contain either LaunchTemplate, LaunchConfigurationName, InstanceId or MixedInstancesPolicy parameter.")
	}
	version := cmp.Or(aws.ToString(s.Version), "$Default")
	if strings.HasPrefix(version, "$") {
		return moving(version)
	}
	t, err := c.template(s.LaunchTemplateId, s.LaunchTemplateName)
	if err != nil {
		return validation("You must use a valid fully-formed launch template. %v", err)
	}
	if t.version(version) == nil {
		return validation("You must use a valid fully-formed launch template. %v", t.noVersion(version))
	}
	g.template, g.version = t, version
	return nil
}

func (c *Cloud) place(g *group, zones *string) error {
	if aws.ToString(zones) == "" {
		return validation("At least one Availability Zone or VPC Subnet is required.")
	}
	g.subnets = nil
	for _, id := range strings.Split(*zones, ",") {
		if c.ec2.subnets[id] == nil {
			return validation("The subnet ID '%s' does not exist", id)
		}
		g.subnets = append(g.subnets, id)
	}
	return nil
}

// UpdateAutoScalingGroup implements the SDK's method. All or nothing.
func (a AutoScaling) UpdateAutoScalingGroup(ctx ctx, in *autoscaling.UpdateAutoScalingGroupInput, _ ...func(*autoscaling.Options)) (*autoscaling.UpdateAutoScalingGroupOutput, error) {
	return call(ctx, a.c, autoScalingID, "UpdateAutoScalingGroup", write, in, func(in *autoscaling.UpdateAutoScalingGroupInput) (*autoscaling.UpdateAutoScalingGroupOutput, error) {
		g, err := a.c.group(in.AutoScalingGroupName)
		if err != nil {
			return nil, err
		}
		next := *g
		if err := a.c.changed(&next, in); err != nil {
			return nil, err
		}
		*g = next
		a.c.review(g)
		return &autoscaling.UpdateAutoScalingGroupOutput{}, nil
	})
}

// changed: bounds that the desired size does not fit move it, unless it is said.
func (c *Cloud) changed(g *group, in *autoscaling.UpdateAutoScalingGroupInput) error {
	if in.LaunchTemplate != nil {
		if err := c.pin(g, in.LaunchTemplate); err != nil {
			return err
		}
	}
	if in.VPCZoneIdentifier != nil {
		if err := c.place(g, in.VPCZoneIdentifier); err != nil {
			return err
		}
	}
	if in.MinSize != nil {
		g.min = int(*in.MinSize)
	}
	if in.MaxSize != nil {
		g.max = int(*in.MaxSize)
	}
	if in.DesiredCapacity != nil {
		g.desired = int(*in.DesiredCapacity)
	} else if g.min <= g.max {
		g.desired = min(max(g.desired, g.min), g.max)
	}
	if in.HealthCheckType != nil {
		g.health = *in.HealthCheckType
	}
	if in.HealthCheckGracePeriod != nil {
		g.grace = time.Duration(*in.HealthCheckGracePeriod) * time.Second
	}
	if in.NewInstancesProtectedFromScaleIn != nil {
		g.protect = *in.NewInstancesProtectedFromScaleIn
	}
	return g.sized()
}

// DeleteAutoScalingGroup implements the SDK's method.
func (a AutoScaling) DeleteAutoScalingGroup(ctx ctx, in *autoscaling.DeleteAutoScalingGroupInput, _ ...func(*autoscaling.Options)) (*autoscaling.DeleteAutoScalingGroupOutput, error) {
	return call(ctx, a.c, autoScalingID, "DeleteAutoScalingGroup", write, in, func(in *autoscaling.DeleteAutoScalingGroupInput) (*autoscaling.DeleteAutoScalingGroupOutput, error) {
		g, err := a.c.group(in.AutoScalingGroupName)
		if err != nil {
			return nil, err
		}
		if len(g.members) > 0 && !aws.ToBool(in.ForceDelete) {
			return nil, &types.ResourceInUseFault{Message: aws.String("You cannot delete an AutoScalingGroup while there are instances or pending Spot instance request(s) still in the group.")}
		}
		g.deleted = true
		for _, i := range slices.Clone(g.members) {
			c := a.c
			c.end(i)
		}
		delete(a.c.groups, g.name)
		return &autoscaling.DeleteAutoScalingGroupOutput{}, nil
	})
}

// CreateOrUpdateTags implements the SDK's method.
func (a AutoScaling) CreateOrUpdateTags(ctx ctx, in *autoscaling.CreateOrUpdateTagsInput, _ ...func(*autoscaling.Options)) (*autoscaling.CreateOrUpdateTagsOutput, error) {
	return call(ctx, a.c, autoScalingID, "CreateOrUpdateTags", write, in, func(in *autoscaling.CreateOrUpdateTagsInput) (*autoscaling.CreateOrUpdateTagsOutput, error) {
		for _, t := range in.Tags {
			if _, err := a.c.group(t.ResourceId); err != nil {
				return nil, err
			}
		}
		for _, t := range in.Tags {
			a.c.groups[*t.ResourceId].tags[aws.ToString(t.Key)] = groupTag{aws.ToString(t.Value), aws.ToBool(t.PropagateAtLaunch)}
		}
		return &autoscaling.CreateOrUpdateTagsOutput{}, nil
	})
}

// DeleteTags implements the SDK's method. Tags that are not there are no error.
func (a AutoScaling) DeleteTags(ctx ctx, in *autoscaling.DeleteTagsInput, _ ...func(*autoscaling.Options)) (*autoscaling.DeleteTagsOutput, error) {
	return call(ctx, a.c, autoScalingID, "DeleteTags", write, in, func(in *autoscaling.DeleteTagsInput) (*autoscaling.DeleteTagsOutput, error) {
		for _, t := range in.Tags {
			g, err := a.c.group(t.ResourceId)
			if err != nil {
				return nil, err
			}
			delete(g.tags, aws.ToString(t.Key))
		}
		return &autoscaling.DeleteTagsOutput{}, nil
	})
}

// processes that can be suspended.
func processes() []string {
	return []string{"AddToLoadBalancer", "AlarmNotification", "AZRebalance", "HealthCheck", "InstanceRefresh", "Launch", "ReplaceUnhealthy", "ScheduledActions", "Terminate"}
}

func (c *Cloud) suspend(name *string, asked []string, on bool) error {
	g, err := c.group(name)
	if err != nil {
		return err
	}
	if len(asked) == 0 {
		asked = processes()
	}
	for _, p := range asked {
		if !slices.Contains(processes(), p) {
			return validation("Unknown scaling process '%s'", p)
		}
	}
	for _, p := range asked {
		if delete(g.suspended, p); on {
			g.suspended[p] = true
		}
	}
	c.review(g)
	return nil
}

// SuspendProcesses implements the SDK's method.
func (a AutoScaling) SuspendProcesses(ctx ctx, in *autoscaling.SuspendProcessesInput, _ ...func(*autoscaling.Options)) (*autoscaling.SuspendProcessesOutput, error) {
	return call(ctx, a.c, autoScalingID, "SuspendProcesses", write, in, func(in *autoscaling.SuspendProcessesInput) (*autoscaling.SuspendProcessesOutput, error) {
		return &autoscaling.SuspendProcessesOutput{}, a.c.suspend(in.AutoScalingGroupName, in.ScalingProcesses, true)
	})
}

// ResumeProcesses implements the SDK's method.
func (a AutoScaling) ResumeProcesses(ctx ctx, in *autoscaling.ResumeProcessesInput, _ ...func(*autoscaling.Options)) (*autoscaling.ResumeProcessesOutput, error) {
	return call(ctx, a.c, autoScalingID, "ResumeProcesses", write, in, func(in *autoscaling.ResumeProcessesInput) (*autoscaling.ResumeProcessesOutput, error) {
		return &autoscaling.ResumeProcessesOutput{}, a.c.suspend(in.AutoScalingGroupName, in.ScalingProcesses, false)
	})
}

// DescribeScalingActivities implements the SDK's method; the newest comes first.
func (a AutoScaling) DescribeScalingActivities(ctx ctx, in *autoscaling.DescribeScalingActivitiesInput, _ ...func(*autoscaling.Options)) (*autoscaling.DescribeScalingActivitiesOutput, error) {
	return call(ctx, a.c, autoScalingID, "DescribeScalingActivities", read, in, func(in *autoscaling.DescribeScalingActivitiesInput) (*autoscaling.DescribeScalingActivitiesOutput, error) {
		g, err := a.c.group(in.AutoScalingGroupName)
		if err != nil {
			return nil, err
		}
		var found []types.Activity
		for _, x := range slices.Backward(g.activities) {
			d := types.Activity{ActivityId: aws.String(x.id), AutoScalingGroupName: aws.String(g.name), Cause: aws.String(x.cause), Description: aws.String(x.description),
				StartTime: aws.Time(x.started), StatusCode: x.status, Progress: aws.Int32(50), Details: aws.String("{}")}
			if !x.ended.IsZero() {
				d.EndTime, d.Progress = aws.Time(x.ended), aws.Int32(100)
			}
			if x.message != "" {
				d.StatusMessage = aws.String(x.message)
			}
			found = append(found, d)
		}
		part, next, err := page(a.c, found, in.NextToken, in.MaxRecords, 100)
		return &autoscaling.DescribeScalingActivitiesOutput{Activities: part, NextToken: next}, err
	})
}
