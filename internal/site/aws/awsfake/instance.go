package awsfake

import (
	"encoding/base64"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	asgtypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// instance is a machine; its lifecycle is that of its group.
type instance struct {
	id, kind     string // kind is its type, t3.small
	image        *image
	subnet, zone string
	address      netip.Addr
	template     *template
	version      int
	userData     []byte
	launched     time.Time
	tags         tags
	state        types.InstanceStateName
	reason       string

	group     *group
	lifecycle asgtypes.LifecycleState
	unhealthy bool  // as its group sees it
	hook      *hook // that holds it; nil: none
	activity  *activity
	inFlight  int
}

// vcpus of an instance type, as far as tests use them.
func vcpus(kind string) int {
	_, size, _ := strings.Cut(kind, ".")
	if x, ok := strings.CutSuffix(size, "xlarge"); ok {
		n, err := strconv.Atoi(x)
		if err != nil {
			return 4
		}
		return 4 * n
	}
	return 2
}

// SetOffered limits the zones in which an instance type is offered; none: it does not exist.
func (c *Cloud) SetOffered(kind string, zones ...string) {
	defer c.enter()()
	c.ec2.offered[kind] = append([]string{}, zones...)
}

// SetShortage takes all capacity from a zone, or gives it back.
func (c *Cloud) SetShortage(zone string, on bool) {
	defer c.enter()()
	c.ec2.shortage[zone] = on
}

// SetQuota changes how many vCPUs may run.
func (c *Cloud) SetQuota(n int) {
	defer c.enter()()
	c.options.VCPUs = n
}

// Kill ends a machine behind its group's back.
func (c *Cloud) Kill(id string) error {
	defer c.enter()()
	i := c.ec2.instances[id]
	if i == nil || i.state != types.InstanceStateNameRunning {
		return fmt.Errorf("no instance %s is running", id)
	}
	c.dead(i, "Client.InstanceInitiatedShutdown")
	i.unhealthy = true
	if g := i.group; g != nil {
		c.after(c.options.Scale, func() {
			c.replace(g, i, "an instance was taken out of service in response to an EC2 health check indicating it has been terminated or stopped")
		})
	}
	return nil
}

// dead: the machine is off; whatever was in flight there is lost.
func (c *Cloud) dead(i *instance, reason string) {
	i.state, i.reason = types.InstanceStateNameTerminated, reason
	for _, tg := range c.lb.groups {
		delete(tg.targets, i.id)
	}
}

func (c *Cloud) offered(kind, zone string) bool {
	zones, limited := c.ec2.offered[kind]
	return slices.Contains(c.options.Zones, zone) && (!limited || slices.Contains(zones, zone))
}

// room says why an instance cannot be launched in a zone, or "".
func (c *Cloud) room(kind, zone string) string {
	if !c.offered(kind, zone) {
		return fmt.Sprintf("Unsupported - Your requested instance type (%s) is not supported in your requested Availability Zone (%s).", kind, zone)
	}
	used := vcpus(kind)
	for _, i := range c.ec2.instances {
		if i.state == types.InstanceStateNameRunning || i.state == types.InstanceStateNamePending {
			used += vcpus(i.kind)
		}
	}
	if used > c.options.VCPUs {
		return fmt.Sprintf("VcpuLimitExceeded - You have requested more vCPU capacity than your current vCPU limit of %d allows for the instance bucket that the specified instance type belongs to.", c.options.VCPUs)
	}
	if c.ec2.shortage[zone] {
		return fmt.Sprintf("InsufficientInstanceCapacity - We currently do not have sufficient %s capacity in the Availability Zone you requested (%s).", kind, zone)
	}
	return ""
}

// machine starts one; it is not in service yet.
func (c *Cloud) machine(g *group, s *subnet) *instance {
	v := g.template.version(g.version)
	i := &instance{id: c.new("i"), kind: string(v.data.InstanceType), image: c.ec2.images[aws.ToString(v.data.ImageId)], subnet: s.id, zone: s.zone,
		address: s.address(), template: g.template, version: v.number, launched: c.now, tags: tags{"aws:autoscaling:groupName": g.name,
			"aws:ec2launchtemplate:id": g.template.id, "aws:ec2launchtemplate:version": g.version},
		state: types.InstanceStateNamePending, group: g, lifecycle: asgtypes.LifecycleStatePending}
	i.userData, _ = base64.StdEncoding.DecodeString(aws.ToString(v.data.UserData)) // checked when the version was made
	for k, t := range g.tags {
		if t.propagate {
			i.tags[k] = t.value
		}
	}
	for _, t := range v.data.TagSpecifications {
		if t.ResourceType == types.ResourceTypeInstance {
			i.tags.add(t.Tags)
		}
	}
	c.ec2.instances[i.id] = i
	return i
}

// UserData is what an instance was started with.
func (c *Cloud) UserData(id string) []byte {
	defer c.enter()()
	if i := c.ec2.instances[id]; i != nil {
		return slices.Clone(i.userData)
	}
	return nil
}

func (i *instance) describe(c *Cloud) types.Instance {
	codes := map[types.InstanceStateName]int32{types.InstanceStateNamePending: 0, types.InstanceStateNameRunning: 16,
		types.InstanceStateNameShuttingDown: 32, types.InstanceStateNameTerminated: 48}
	d := types.Instance{InstanceId: aws.String(i.id), InstanceType: types.InstanceType(i.kind), ImageId: aws.String(i.image.id), LaunchTime: aws.Time(i.launched),
		Placement: &types.Placement{AvailabilityZone: aws.String(i.zone)}, State: &types.InstanceState{Name: i.state, Code: aws.Int32(codes[i.state])}, Tags: i.tags.list()}
	if i.state == types.InstanceStateNameTerminated {
		d.StateReason = &types.StateReason{Code: aws.String(i.reason), Message: aws.String(i.reason)}
		d.StateTransitionReason = aws.String(i.reason)
		return d
	}
	d.PrivateIpAddress, d.SubnetId = aws.String(i.address.String()), aws.String(i.subnet)
	if s := c.ec2.subnets[i.subnet]; s != nil {
		d.VpcId = aws.String(s.vpc)
	}
	return d
}

// DescribeInstances implements the SDK's method. What has ended is told for an hour.
func (e EC2) DescribeInstances(ctx ctx, in *ec2.DescribeInstancesInput, _ ...func(*ec2.Options)) (*ec2.DescribeInstancesOutput, error) {
	return call(ctx, e.c, ec2ID, "DescribeInstances", read, in, func(in *ec2.DescribeInstancesInput) (*ec2.DescribeInstancesOutput, error) {
		for _, id := range in.InstanceIds {
			if e.c.ec2.instances[id] == nil {
				return nil, fail(400, "InvalidInstanceID.NotFound", "The instance ID '%s' does not exist", id)
			}
		}
		var found []types.Reservation
		for _, i := range made(e.c, e.c.ec2.instances) {
			d := i.describe(e.c)
			ok, err := matches(in.Filters, map[string]string{"instance-id": i.id, "image-id": i.image.id, "instance-type": i.kind, "instance-state-name": string(i.state),
				"vpc-id": aws.ToString(d.VpcId), "subnet-id": aws.ToString(d.SubnetId), "availability-zone": i.zone,
				"private-ip-address": aws.ToString(d.PrivateIpAddress)}, i.tags)
			if err != nil {
				return nil, err
			}
			if ok && (len(in.InstanceIds) == 0 || slices.Contains(in.InstanceIds, i.id)) {
				found = append(found, types.Reservation{OwnerId: aws.String(e.c.options.AccountID), Instances: []types.Instance{d}})
			}
		}
		part, next, err := page(e.c, found, in.NextToken, in.MaxResults, 1000)
		return &ec2.DescribeInstancesOutput{Reservations: part, NextToken: next}, err
	})
}

// DescribeInstanceTypeOfferings implements the SDK's method. An instance type is
// offered everywhere until SetOffered says otherwise; so it has to be asked for.
func (e EC2) DescribeInstanceTypeOfferings(ctx ctx, in *ec2.DescribeInstanceTypeOfferingsInput, _ ...func(*ec2.Options)) (*ec2.DescribeInstanceTypeOfferingsOutput, error) {
	return call(ctx, e.c, ec2ID, "DescribeInstanceTypeOfferings", exact, in, func(in *ec2.DescribeInstanceTypeOfferingsInput) (*ec2.DescribeInstanceTypeOfferingsOutput, error) {
		places := []string{e.c.options.Region}
		if in.LocationType == types.LocationTypeAvailabilityZone {
			places = e.c.options.Zones
		}
		kinds := []string{"t3.micro", "t3.small", "t3.medium", "t3.large", "m6i.large"}
		for _, f := range in.Filters {
			if aws.ToString(f.Name) == "instance-type" {
				kinds = f.Values
			}
		}
		var found []types.InstanceTypeOffering
		for _, kind := range kinds {
			for _, place := range places {
				zone := place
				if in.LocationType != types.LocationTypeAvailabilityZone {
					zone = e.c.options.Zones[0]
				}
				ok, err := matches(in.Filters, map[string]string{"instance-type": kind, "location": place}, nil)
				if err != nil {
					return nil, err
				}
				if ok && e.c.offered(kind, zone) {
					found = append(found, types.InstanceTypeOffering{InstanceType: types.InstanceType(kind), Location: aws.String(place), LocationType: in.LocationType})
				}
			}
		}
		part, next, err := page(e.c, found, in.NextToken, in.MaxResults, 1000)
		return &ec2.DescribeInstanceTypeOfferingsOutput{InstanceTypeOfferings: part, NextToken: next}, err
	})
}
