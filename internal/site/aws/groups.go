package aws

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"

	"godwit/internal/site/aws/convention"
)

// group is an Auto Scaling group: where the instances of one release live.
type group struct {
	name           string
	service        string
	colour         convention.Colour
	min, max, size int
	templateID     string
	version        string // of the launch template, a number
	targetGroups   []string
	zones          []string
	suspended      []string
	members        []member

	release   int // that it holds; 0: none
	since     time.Time
	weight    int // of a service without target groups
	withdrawn bool
}

// member is an instance of a group.
type member struct {
	id, zone  string
	lifecycle string
	healthy   bool
	version   string // of the launch template that it was launched from
}

// held: the launch hook keeps it out of service until it is healthy.
func (m member) held() bool { return m.lifecycle == string(types.LifecycleStatePendingWait) }

// abandon ends the launches of members that are held: Auto Scaling may leave them
// until the hook runs out, however small the group is to be. That one is not held
// any more is no error.
func (s *Site) abandon(ctx context.Context, g group) error {
	for _, m := range g.members {
		if !m.held() {
			continue
		}
		_, err := s.clients.AutoScaling.CompleteLifecycleAction(ctx, &autoscaling.CompleteLifecycleActionInput{AutoScalingGroupName: &g.name,
			LifecycleHookName: aws.String(convention.LaunchHook), InstanceId: &m.id, LifecycleActionResult: aws.String("ABANDON")})
		var known *Error
		if err = explain("abandoning the launch of "+m.id, err); err != nil && !(errors.As(err, &known) && (known.Kind == KindRequest || known.Kind == KindMissing)) {
			return err
		}
	}
	return nil
}

// paused are the processes that change instances unasked. They rest in a group
// that does not serve everything: it has the size that a rollout gave it, and
// an instance that fails stays, to be looked at.
func paused() []string {
	return []string{"AlarmNotification", "AZRebalance", "ReplaceUnhealthy", "ScheduledActions"}
}

// replacing is the process that ends unhealthy instances and launches others.
const replacing = "ReplaceUnhealthy"

// groups are the Auto Scaling groups of an environment.
func (s *Site) groups(ctx context.Context, scope convention.Scope) ([]group, error) {
	filter := func(tag, value string) types.Filter {
		return types.Filter{Name: aws.String("tag:" + tag), Values: []string{value}}
	}
	return s.describeGroups(ctx, &autoscaling.DescribeAutoScalingGroupsInput{Filters: []types.Filter{
		filter(convention.TagLandscape, scope.Landscape), filter(convention.TagEnvironment, scope.Environment)}})
}

// groupsOf are those of one service, blue first.
func (s *Site) groupsOf(ctx context.Context, scope convention.Scope, service string) ([]group, error) {
	var names []string
	for _, c := range convention.Colours {
		names = append(names, scope.Group(service, c))
	}
	all, err := s.describeGroups(ctx, &autoscaling.DescribeAutoScalingGroupsInput{AutoScalingGroupNames: names})
	for i := range all {
		// What the name says counts, should a tag be missing.
		all[i].service, all[i].colour = service, convention.Colours[slices.Index(names, all[i].name)]
	}
	return all, err
}

func (s *Site) group(ctx context.Context, name string) (group, error) {
	all, err := s.describeGroups(ctx, &autoscaling.DescribeAutoScalingGroupsInput{AutoScalingGroupNames: []string{name}})
	if err != nil {
		return group{}, err
	}
	if len(all) == 0 {
		return group{}, fmt.Errorf("Auto Scaling group %s has been deleted meanwhile: run `godwit aws apply`", name)
	}
	return all[0], nil
}

func (s *Site) describeGroups(ctx context.Context, in *autoscaling.DescribeAutoScalingGroupsInput) ([]group, error) {
	var all []group
	err := pages(func(token *string) (*string, error) {
		in.NextToken = token
		out, err := s.clients.AutoScaling.DescribeAutoScalingGroups(ctx, in)
		if err != nil {
			return nil, explain("looking for Auto Scaling groups", err)
		}
		for _, g := range out.AutoScalingGroups {
			all = append(all, readGroup(g))
		}
		return out.NextToken, nil
	})
	slices.SortFunc(all, func(a, b group) int { return strings.Compare(a.name, b.name) })
	return all, err
}

func readGroup(g types.AutoScalingGroup) group {
	out := group{name: aws.ToString(g.AutoScalingGroupName), min: int(aws.ToInt32(g.MinSize)), max: int(aws.ToInt32(g.MaxSize)),
		size: int(aws.ToInt32(g.DesiredCapacity)), targetGroups: g.TargetGroupARNs, zones: g.AvailabilityZones}
	if t := g.LaunchTemplate; t != nil {
		out.templateID, out.version = aws.ToString(t.LaunchTemplateId), aws.ToString(t.Version)
	}
	for _, p := range g.SuspendedProcesses {
		out.suspended = append(out.suspended, aws.ToString(p.ProcessName))
	}
	for _, t := range g.Tags {
		out.readTag(aws.ToString(t.Key), aws.ToString(t.Value))
	}
	for _, i := range g.Instances {
		m := member{id: aws.ToString(i.InstanceId), zone: aws.ToString(i.AvailabilityZone), lifecycle: string(i.LifecycleState),
			healthy: !strings.EqualFold(aws.ToString(i.HealthStatus), "Unhealthy")}
		if i.LaunchTemplate != nil {
			m.version = aws.ToString(i.LaunchTemplate.Version)
		}
		out.members = append(out.members, m)
	}
	return out
}

func (g *group) readTag(key, value string) {
	switch key {
	case convention.TagService:
		g.service = value
	case convention.TagColour:
		g.colour = convention.Colour(value)
	case convention.TagRelease:
		g.release, _ = strconv.Atoi(value)
	case convention.TagSince:
		g.since, _ = time.Parse(time.RFC3339, value)
	case convention.TagWeight:
		g.weight, _ = strconv.Atoi(value)
	case convention.TagWithdrawn:
		g.withdrawn = true
	}
}

// resize sets the bounds and size of a group. A size that is right already is
// not written: it may be scaling at this moment.
func (s *Site) resize(ctx context.Context, g group, low, size, high int) error {
	if g.min == low && g.size == size && g.max == high {
		return nil
	}
	in := &autoscaling.UpdateAutoScalingGroupInput{AutoScalingGroupName: &g.name, MinSize: aws.Int32(int32(low)), MaxSize: aws.Int32(int32(high))}
	if g.size != size {
		in.DesiredCapacity = aws.Int32(int32(size))
	}
	_, err := s.clients.AutoScaling.UpdateAutoScalingGroup(ctx, in)
	return explain(fmt.Sprintf("setting the size of %s to %d", g.name, size), err)
}

// pin has new instances of a group launched from one version of its template.
func (s *Site) pin(ctx context.Context, g group, version string) error {
	if g.version == version {
		return nil
	}
	_, err := s.clients.AutoScaling.UpdateAutoScalingGroup(ctx, &autoscaling.UpdateAutoScalingGroupInput{AutoScalingGroupName: &g.name,
		LaunchTemplate: &types.LaunchTemplateSpecification{LaunchTemplateId: &g.templateID, Version: &version}})
	return explain(fmt.Sprintf("giving %s version %s of its launch template", g.name, version), err)
}

// suspend has the named processes rest.
func (s *Site) suspend(ctx context.Context, g group, processes ...string) error {
	processes = slices.DeleteFunc(slices.Clone(processes), func(p string) bool { return slices.Contains(g.suspended, p) })
	if len(processes) == 0 {
		return nil
	}
	_, err := s.clients.AutoScaling.SuspendProcesses(ctx, &autoscaling.SuspendProcessesInput{AutoScalingGroupName: &g.name, ScalingProcesses: processes})
	return explain("suspending processes of "+g.name, err)
}

// resume undoes suspend.
func (s *Site) resume(ctx context.Context, g group, processes ...string) error {
	processes = slices.DeleteFunc(slices.Clone(processes), func(p string) bool { return !slices.Contains(g.suspended, p) })
	if len(processes) == 0 {
		return nil
	}
	_, err := s.clients.AutoScaling.ResumeProcesses(ctx, &autoscaling.ResumeProcessesInput{AutoScalingGroupName: &g.name, ScalingProcesses: processes})
	return explain("resuming processes of "+g.name, err)
}

// tag marks a group, and the instances that it launches from now on.
func (s *Site) tag(ctx context.Context, g group, tags map[string]string) error {
	in := &autoscaling.CreateOrUpdateTagsInput{}
	for key, value := range tags {
		t := groupTag(g, key)
		t.Value, t.PropagateAtLaunch = aws.String(value), aws.Bool(key == convention.TagRelease)
		in.Tags = append(in.Tags, t)
	}
	_, err := s.clients.AutoScaling.CreateOrUpdateTags(ctx, in)
	return explain("tagging "+g.name, err)
}

func (s *Site) untag(ctx context.Context, g group, keys ...string) error {
	in := &autoscaling.DeleteTagsInput{}
	for _, key := range keys {
		in.Tags = append(in.Tags, groupTag(g, key))
	}
	_, err := s.clients.AutoScaling.DeleteTags(ctx, in)
	return explain("removing tags of "+g.name, err)
}

func groupTag(g group, key string) types.Tag {
	return types.Tag{ResourceId: aws.String(g.name), ResourceType: aws.String("auto-scaling-group"), Key: aws.String(key)}
}

// refreshing names the instance refresh that is under way in a group; "" when none is.
func (s *Site) refreshing(ctx context.Context, g group) (id string, err error) {
	err = pages(func(token *string) (*string, error) {
		out, err := s.clients.AutoScaling.DescribeInstanceRefreshes(ctx,
			&autoscaling.DescribeInstanceRefreshesInput{AutoScalingGroupName: &g.name, NextToken: token})
		if err != nil {
			return nil, explain("looking for instance refreshes of "+g.name, err)
		}
		for _, r := range out.InstanceRefreshes {
			switch r.Status {
			case types.InstanceRefreshStatusPending, types.InstanceRefreshStatusInProgress, types.InstanceRefreshStatusCancelling,
				types.InstanceRefreshStatusRollbackInProgress, types.InstanceRefreshStatusBaking:
				id = aws.ToString(r.InstanceRefreshId)
			}
		}
		return out.NextToken, nil
	})
	return id, err
}
