package awsfake

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// group is an Auto Scaling group: it makes as many instances as are desired.
type group struct {
	name              string
	created           time.Time
	min, max, desired int
	template          *template
	version           string
	subnets           []string
	targetGroups      []string // ARNs
	health            string   // EC2 or ELB
	grace             time.Duration
	protect           bool
	tags              map[string]groupTag
	suspended         map[string]bool
	hooks             map[string]*hook
	members           []*instance
	activities        []*activity // the newest last
	refreshes         []*refresh  // the newest last
	retrying          bool
	deleted           bool
}

type groupTag struct {
	value     string
	propagate bool
}

type activity struct {
	id, description, cause, message string
	status                          types.ScalingActivityStatusCode
	started, ended                  time.Time
}

func (i *instance) leaving() bool { return strings.HasPrefix(string(i.lifecycle), "Terminat") }

// staying are the members that are not on their way out.
func (g *group) staying() []*instance {
	return slices.DeleteFunc(slices.Clone(g.members), (*instance).leaving)
}

// review lets the group notice, soon, that its size is not as desired.
func (c *Cloud) review(g *group) {
	c.after(c.options.Scale, func() { c.reconcile(g) })
}

func (c *Cloud) reconcile(g *group) {
	if g.deleted {
		return
	}
	for n := len(g.staying()); n < g.desired && !g.suspended["Launch"]; n++ {
		if !c.launch(g) {
			if !g.retrying {
				g.retrying = true
				c.after(c.options.Retry, func() { g.retrying = false; c.reconcile(g) })
			}
			break
		}
	}
	for n := len(g.staying()); n > g.desired && !g.suspended["Terminate"]; n-- {
		i := g.victim()
		if i == nil {
			break // all are protected
		}
		c.terminate(i, "a user request, shrinking the capacity")
	}
}

// victim is chosen as AWS does by default: from the zone with the most
// instances, the oldest version of the launch template first, then the oldest.
func (g *group) victim() *instance {
	zones := map[string]int{}
	for _, i := range g.staying() {
		zones[i.zone]++
	}
	// Who is held by a hook is not there yet, and can only be given up by it.
	candidates := slices.DeleteFunc(g.staying(), func(i *instance) bool { return g.protect || i.lifecycle == types.LifecycleStatePendingWait })
	if len(candidates) == 0 {
		return nil
	}
	return slices.MinFunc(candidates, func(a, b *instance) int {
		return cmp.Or(cmp.Compare(zones[b.zone], zones[a.zone]), cmp.Compare(a.version, b.version), a.launched.Compare(b.launched), cmp.Compare(a.id, b.id))
	})
}

// launch tries the zone with the fewest instances first, then the others.
func (c *Cloud) launch(g *group) bool {
	cause := fmt.Sprintf("At %s an instance was started in response to a difference between desired and actual capacity, increasing the capacity from %d to %d.",
		c.now.UTC().Format(time.RFC3339), len(g.staying()), len(g.staying())+1)
	v := g.template.version(g.version)
	if c.ec2.images[aws.ToString(v.data.ImageId)] == nil {
		c.failed(g, cause, fmt.Sprintf("The image id '[%s]' does not exist", aws.ToString(v.data.ImageId)))
		return false
	}
	var refusal string
	for _, s := range g.spread(c) {
		if why := c.room(string(v.data.InstanceType), s.zone); why != "" {
			refusal = cmp.Or(refusal, why)
			continue
		}
		i := c.machine(g, s)
		g.members = append(g.members, i)
		i.activity = &activity{id: c.id("activity"), cause: cause, description: "Launching a new EC2 instance: " + i.id,
			status: types.ScalingActivityStatusCodeInProgress, started: c.now}
		g.activities = append(g.activities, i.activity)
		c.after(c.options.Boot, func() { c.booted(i) })
		return true
	}
	c.failed(g, cause, "Could not launch On-Demand Instances. "+refusal)
	return false
}

// spread are the group's subnets, the emptiest zone first.
func (g *group) spread(c *Cloud) []*subnet {
	zones := map[string]int{}
	for _, i := range g.staying() {
		zones[i.zone]++
	}
	var out []*subnet
	for _, id := range g.subnets {
		if s := c.ec2.subnets[id]; s != nil {
			out = append(out, s)
		}
	}
	slices.SortStableFunc(out, func(a, b *subnet) int { return cmp.Compare(zones[a.zone], zones[b.zone]) })
	return out
}

func (c *Cloud) failed(g *group, cause, why string) {
	why += " Launching EC2 instance failed."
	g.activities = append(g.activities, &activity{id: c.id("activity"), cause: cause, description: "Launching a new EC2 instance.  Status Reason: " + why,
		message: why, status: types.ScalingActivityStatusCodeFailed, started: c.now, ended: c.now})
}

func (a *activity) end(now time.Time) {
	a.status, a.ended = types.ScalingActivityStatusCodeSuccessful, now
}

// booted: the machine runs. A hook may hold it before it goes into service.
func (c *Cloud) booted(i *instance) {
	if i.state != ec2types.InstanceStateNamePending || i.leaving() {
		return
	}
	i.state = ec2types.InstanceStateNameRunning
	if h := i.group.hook(launching); h != nil {
		c.hold(i, h)
		return
	}
	c.inService(i)
}

// inService: the machine is registered where its group is.
func (c *Cloud) inService(i *instance) {
	i.lifecycle = types.LifecycleStateInService
	i.activity.end(c.now)
	if i.group.suspended["AddToLoadBalancer"] {
		return
	}
	for _, arn := range i.group.targetGroups {
		if tg := c.lb.groups[arn]; tg != nil {
			c.register(tg, i.id, tg.port)
		}
	}
}

// terminate takes a member out: no new requests, then the hook and the draining,
// side by side, then its end.
func (c *Cloud) terminate(i *instance, cause string) {
	if i.leaving() {
		return
	}
	g := i.group
	i.activity = &activity{id: c.id("activity"), description: "Terminating EC2 instance: " + i.id, status: types.ScalingActivityStatusCodeInProgress, started: c.now,
		cause: fmt.Sprintf("At %s an instance was taken out of service in response to %s.", c.now.UTC().Format(time.RFC3339), cause)}
	g.activities = append(g.activities, i.activity)
	for _, arn := range g.targetGroups {
		if tg := c.lb.groups[arn]; tg != nil {
			c.deregister(tg, i.id)
		}
	}
	i.lifecycle = types.LifecycleStateTerminating
	i.hook = nil
	if h := g.hook(terminating); h != nil && i.state == ec2types.InstanceStateNameRunning {
		c.hold(i, h)
	}
	c.after(0, func() { c.proceed(i) })
}

// proceed ends an instance once nothing holds it any more.
func (c *Cloud) proceed(i *instance) {
	if !i.leaving() {
		return
	}
	if i.hook != nil && !i.image.behaviour.HoldsHook && i.inFlight == 0 {
		i.hook = nil // the agent on it has completed the hook
	}
	switch {
	case i.hook != nil || i.lifecycle == types.LifecycleStateTerminatingProceed:
		return
	case c.registered(i.id):
		i.activity.status = types.ScalingActivityStatusCodeWaitingForELBConnectionDraining
		return
	}
	i.lifecycle = types.LifecycleStateTerminatingProceed
	c.after(c.options.Shutdown, func() { c.end(i) })
}

func (c *Cloud) end(i *instance) {
	c.dead(i, "Client.UserInitiatedShutdown")
	i.lifecycle = types.LifecycleStateTerminated
	if i.activity != nil {
		i.activity.end(c.now)
	}
	g := i.group
	g.members = slices.DeleteFunc(g.members, func(m *instance) bool { return m == i })
	c.reconcile(g)
}

// replace takes out a member that is not healthy; the review after it makes another.
func (c *Cloud) replace(g *group, i *instance, cause string) {
	if g.deleted || g.suspended["ReplaceUnhealthy"] || g.suspended["HealthCheck"] || i.leaving() {
		return
	}
	i.unhealthy = true
	c.terminate(i, cause)
	c.review(g)
}

func (g *group) describe(c *Cloud) types.AutoScalingGroup {
	d := types.AutoScalingGroup{AutoScalingGroupName: aws.String(g.name), CreatedTime: aws.Time(g.created), DefaultCooldown: aws.Int32(300),
		AutoScalingGroupARN: aws.String(c.arn("autoscaling", "autoScalingGroup:fake:autoScalingGroupName/%s", g.name)),
		MinSize:             aws.Int32(int32(g.min)), MaxSize: aws.Int32(int32(g.max)), DesiredCapacity: aws.Int32(int32(g.desired)),
		HealthCheckType: aws.String(g.health), HealthCheckGracePeriod: aws.Int32(int32(g.grace / time.Second)), LaunchTemplate: g.pinned(),
		NewInstancesProtectedFromScaleIn: aws.Bool(g.protect), TargetGroupARNs: slices.Clone(g.targetGroups), VPCZoneIdentifier: aws.String(strings.Join(g.subnets, ","))}
	for _, id := range g.subnets {
		if s := c.ec2.subnets[id]; s != nil && !slices.Contains(d.AvailabilityZones, s.zone) {
			d.AvailabilityZones = append(d.AvailabilityZones, s.zone)
		}
	}
	slices.Sort(d.AvailabilityZones)
	for _, name := range sorted(g.suspended) {
		d.SuspendedProcesses = append(d.SuspendedProcesses, types.SuspendedProcess{ProcessName: aws.String(name), SuspensionReason: aws.String("User suspended")})
	}
	for _, k := range sorted(g.tags) {
		d.Tags = append(d.Tags, types.TagDescription{Key: aws.String(k), Value: aws.String(g.tags[k].value), PropagateAtLaunch: aws.Bool(g.tags[k].propagate),
			ResourceId: aws.String(g.name), ResourceType: aws.String("auto-scaling-group")})
	}
	for _, i := range g.members {
		health := "Healthy"
		if i.unhealthy {
			health = "Unhealthy"
		}
		d.Instances = append(d.Instances, types.Instance{InstanceId: aws.String(i.id), AvailabilityZone: aws.String(i.zone), HealthStatus: aws.String(health),
			LifecycleState: i.lifecycle, ProtectedFromScaleIn: aws.Bool(g.protect), ImageId: aws.String(i.image.id), InstanceType: aws.String(i.kind),
			LaunchTemplate: &types.LaunchTemplateSpecification{LaunchTemplateId: aws.String(i.template.id), LaunchTemplateName: aws.String(i.template.name), Version: aws.String(strconv.Itoa(i.version))}})
	}
	return d
}

func (g *group) pinned() *types.LaunchTemplateSpecification {
	return &types.LaunchTemplateSpecification{LaunchTemplateId: aws.String(g.template.id), LaunchTemplateName: aws.String(g.template.name), Version: aws.String(g.version)}
}
