package awsfake

import (
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

const ec2ID = "EC2"

// EC2 is the client of networks, images, launch templates and instances.
type EC2 struct{ c *Cloud }

// EC2 returns a client.
func (c *Cloud) EC2() EC2 { return EC2{c} }

type ec2State struct {
	vpcs      map[string]*vpc
	subnets   map[string]*subnet
	images    map[string]*image
	templates map[string]*template
	instances map[string]*instance
	offered   map[string][]string // zones in which an instance type is offered; everywhere when not there
	shortage  map[string]bool     // zones without capacity
	order     []string            // ids in the order of their making
}

func newEC2State() ec2State {
	return ec2State{vpcs: map[string]*vpc{}, subnets: map[string]*subnet{}, images: map[string]*image{}, templates: map[string]*template{},
		instances: map[string]*instance{}, offered: map[string][]string{}, shortage: map[string]bool{}}
}

// tags by key.
type tags map[string]string

func (t tags) list() []types.Tag {
	var out []types.Tag
	for _, k := range slices.Sorted(maps.Keys(t)) {
		out = append(out, types.Tag{Key: aws.String(k), Value: aws.String(t[k])})
	}
	return out
}

func (t tags) add(list []types.Tag) {
	for _, tag := range list {
		t[aws.ToString(tag.Key)] = aws.ToString(tag.Value)
	}
}

// tagsOf are those that specifications give to a kind of resource.
func tagsOf(specifications []types.TagSpecification, kind types.ResourceType) tags {
	t := tags{}
	for _, s := range specifications {
		if s.ResourceType == kind {
			t.add(s.Tags)
		}
	}
	return t
}

// matches says whether a resource with these attributes and tags passes all
// filters. A filter that the resource does not have is an error: AWS knows which
// there are, and so must who asks.
func matches(filters []types.Filter, attributes map[string]string, t tags) (bool, error) {
	for _, f := range filters {
		name := aws.ToString(f.Name)
		value, known := attributes[name]
		if key, ok := strings.CutPrefix(name, "tag:"); ok {
			if value, known = t[key]; !known {
				return false, nil
			}
		} else if name == "tag-key" {
			if !slices.ContainsFunc(f.Values, func(v string) bool { _, ok := t[v]; return ok }) {
				return false, nil
			}
			continue
		}
		if !known {
			return false, fail(400, "InvalidParameterValue", "The filter '%s' is invalid", name)
		}
		if !slices.ContainsFunc(f.Values, func(pattern string) bool { return wildcard(pattern, value) }) {
			return false, nil
		}
	}
	return true, nil
}

// wildcard knows * and ?.
func wildcard(pattern, s string) bool {
	switch {
	case pattern == "":
		return s == ""
	case pattern[0] == '*':
		return wildcard(pattern[1:], s) || s != "" && wildcard(pattern, s[1:])
	case s == "":
		return false
	}
	return (pattern[0] == '?' || pattern[0] == s[0]) && wildcard(pattern[1:], s[1:])
}

type vpc struct {
	id   string
	cidr netip.Prefix
	tags tags
}

type subnet struct {
	id, vpc, zone string
	cidr          netip.Prefix
	tags          tags
	used          int // addresses given away
}

// address is the next of a subnet. AWS keeps the first four for itself.
func (s *subnet) address() netip.Addr {
	a := s.cidr.Addr()
	for range 4 + s.used {
		a = a.Next()
	}
	s.used++
	return a
}

// made are the resources of one kind in the order of their making.
func made[T any](c *Cloud, of map[string]*T) []*T {
	var out []*T
	for _, id := range c.ec2.order {
		if x := of[id]; x != nil {
			out = append(out, x)
		}
	}
	return out
}

func (c *Cloud) new(prefix string) string {
	id := c.id(prefix)
	c.ec2.order = append(c.ec2.order, id)
	return id
}

// where are the tags of any resource of EC2.
func (c *Cloud) where(id string) tags {
	switch s := c.ec2; {
	case s.vpcs[id] != nil:
		return s.vpcs[id].tags
	case s.subnets[id] != nil:
		return s.subnets[id].tags
	case s.images[id] != nil:
		return s.images[id].tags
	case s.instances[id] != nil:
		return s.instances[id].tags
	}
	for _, t := range c.ec2.templates {
		if t.id == id {
			return t.tags
		}
	}
	return nil
}

// CreateTags implements the SDK's method.
func (e EC2) CreateTags(ctx ctx, in *ec2.CreateTagsInput, _ ...func(*ec2.Options)) (*ec2.CreateTagsOutput, error) {
	return call(ctx, e.c, ec2ID, "CreateTags", write, in, func(in *ec2.CreateTagsInput) (*ec2.CreateTagsOutput, error) {
		for _, id := range in.Resources {
			t := e.c.where(id)
			if t == nil {
				return nil, fail(400, "InvalidID", "The ID '%s' is not valid", id)
			}
			t.add(in.Tags)
		}
		return &ec2.CreateTagsOutput{}, nil
	})
}

// CreateVpc implements the SDK's method.
func (e EC2) CreateVpc(ctx ctx, in *ec2.CreateVpcInput, _ ...func(*ec2.Options)) (*ec2.CreateVpcOutput, error) {
	return call(ctx, e.c, ec2ID, "CreateVpc", write, in, func(in *ec2.CreateVpcInput) (*ec2.CreateVpcOutput, error) {
		cidr, err := netip.ParsePrefix(aws.ToString(in.CidrBlock))
		if err != nil {
			return nil, fail(400, "InvalidParameterValue", "Value (%s) for parameter cidrBlock is invalid. This is not a valid CIDR block.", aws.ToString(in.CidrBlock))
		}
		v := &vpc{e.c.new("vpc"), cidr, tagsOf(in.TagSpecifications, types.ResourceTypeVpc)}
		e.c.ec2.vpcs[v.id] = v
		return &ec2.CreateVpcOutput{Vpc: v.describe()}, nil
	})
}

func (v *vpc) describe() *types.Vpc {
	return &types.Vpc{VpcId: aws.String(v.id), CidrBlock: aws.String(v.cidr.String()), State: types.VpcStateAvailable, Tags: v.tags.list()}
}

// DescribeVpcs implements the SDK's method.
func (e EC2) DescribeVpcs(ctx ctx, in *ec2.DescribeVpcsInput, _ ...func(*ec2.Options)) (*ec2.DescribeVpcsOutput, error) {
	return call(ctx, e.c, ec2ID, "DescribeVpcs", read, in, func(in *ec2.DescribeVpcsInput) (*ec2.DescribeVpcsOutput, error) {
		var found []types.Vpc
		for _, id := range in.VpcIds {
			if e.c.ec2.vpcs[id] == nil {
				return nil, fail(400, "InvalidVpcID.NotFound", "VpcID {'%s'} does not exist.", id)
			}
		}
		for _, v := range made(e.c, e.c.ec2.vpcs) {
			ok, err := matches(in.Filters, map[string]string{"vpc-id": v.id, "cidr": v.cidr.String(), "state": "available", "is-default": "false"}, v.tags)
			if err != nil {
				return nil, err
			}
			if ok && (len(in.VpcIds) == 0 || slices.Contains(in.VpcIds, v.id)) {
				found = append(found, *v.describe())
			}
		}
		part, next, err := page(e.c, found, in.NextToken, in.MaxResults, 1000)
		return &ec2.DescribeVpcsOutput{Vpcs: part, NextToken: next}, err
	})
}

// DeleteVpc implements the SDK's method.
func (e EC2) DeleteVpc(ctx ctx, in *ec2.DeleteVpcInput, _ ...func(*ec2.Options)) (*ec2.DeleteVpcOutput, error) {
	return call(ctx, e.c, ec2ID, "DeleteVpc", write, in, func(in *ec2.DeleteVpcInput) (*ec2.DeleteVpcOutput, error) {
		id := aws.ToString(in.VpcId)
		if e.c.ec2.vpcs[id] == nil {
			return nil, fail(400, "InvalidVpcID.NotFound", "VpcID %s does not exist.", id)
		}
		for _, s := range e.c.ec2.subnets {
			if s.vpc == id {
				return nil, fail(400, "DependencyViolation", "The vpc '%s' has dependencies and cannot be deleted.", id)
			}
		}
		delete(e.c.ec2.vpcs, id)
		return &ec2.DeleteVpcOutput{}, nil
	})
}

// CreateSubnet implements the SDK's method.
func (e EC2) CreateSubnet(ctx ctx, in *ec2.CreateSubnetInput, _ ...func(*ec2.Options)) (*ec2.CreateSubnetOutput, error) {
	return call(ctx, e.c, ec2ID, "CreateSubnet", write, in, func(in *ec2.CreateSubnetInput) (*ec2.CreateSubnetOutput, error) {
		v := e.c.ec2.vpcs[aws.ToString(in.VpcId)]
		if v == nil {
			return nil, fail(400, "InvalidVpcID.NotFound", "VpcID %s does not exist.", aws.ToString(in.VpcId))
		}
		cidr, err := netip.ParsePrefix(aws.ToString(in.CidrBlock))
		if err != nil || !v.cidr.Overlaps(cidr) || cidr.Bits() < v.cidr.Bits() {
			return nil, fail(400, "InvalidSubnet.Range", "The CIDR '%s' is invalid.", aws.ToString(in.CidrBlock))
		}
		zone := aws.ToString(in.AvailabilityZone)
		if zone == "" {
			zone = e.c.options.Zones[0]
		}
		if !slices.Contains(e.c.options.Zones, zone) {
			return nil, fail(400, "InvalidParameterValue", "Value (%s) for parameter availabilityZone is invalid. Subnets can currently only be created in the following availability zones: %s.", zone, strings.Join(e.c.options.Zones, ", "))
		}
		s := &subnet{id: e.c.new("subnet"), vpc: v.id, zone: zone, cidr: cidr, tags: tagsOf(in.TagSpecifications, types.ResourceTypeSubnet)}
		e.c.ec2.subnets[s.id] = s
		return &ec2.CreateSubnetOutput{Subnet: s.describe()}, nil
	})
}

func (s *subnet) describe() *types.Subnet {
	return &types.Subnet{SubnetId: aws.String(s.id), VpcId: aws.String(s.vpc), AvailabilityZone: aws.String(s.zone),
		CidrBlock: aws.String(s.cidr.String()), State: types.SubnetStateAvailable, Tags: s.tags.list()}
}

// DescribeSubnets implements the SDK's method.
func (e EC2) DescribeSubnets(ctx ctx, in *ec2.DescribeSubnetsInput, _ ...func(*ec2.Options)) (*ec2.DescribeSubnetsOutput, error) {
	return call(ctx, e.c, ec2ID, "DescribeSubnets", read, in, func(in *ec2.DescribeSubnetsInput) (*ec2.DescribeSubnetsOutput, error) {
		var found []types.Subnet
		for _, s := range made(e.c, e.c.ec2.subnets) {
			ok, err := matches(in.Filters, map[string]string{"vpc-id": s.vpc, "subnet-id": s.id, "availability-zone": s.zone}, s.tags)
			if err != nil {
				return nil, err
			}
			if ok && (len(in.SubnetIds) == 0 || slices.Contains(in.SubnetIds, s.id)) {
				found = append(found, *s.describe())
			}
		}
		part, next, err := page(e.c, found, in.NextToken, in.MaxResults, 1000)
		return &ec2.DescribeSubnetsOutput{Subnets: part, NextToken: next}, err
	})
}

// DeleteSubnet implements the SDK's method.
func (e EC2) DeleteSubnet(ctx ctx, in *ec2.DeleteSubnetInput, _ ...func(*ec2.Options)) (*ec2.DeleteSubnetOutput, error) {
	return call(ctx, e.c, ec2ID, "DeleteSubnet", write, in, func(in *ec2.DeleteSubnetInput) (*ec2.DeleteSubnetOutput, error) {
		id := aws.ToString(in.SubnetId)
		if e.c.ec2.subnets[id] == nil {
			return nil, fail(400, "InvalidSubnetID.NotFound", "The subnet ID '%s' does not exist", id)
		}
		for _, i := range e.c.ec2.instances {
			if i.subnet == id && i.state != types.InstanceStateNameTerminated {
				return nil, fail(400, "DependencyViolation", "The subnet '%s' has dependencies and cannot be deleted.", id)
			}
		}
		delete(e.c.ec2.subnets, id)
		return &ec2.DeleteSubnetOutput{}, nil
	})
}
