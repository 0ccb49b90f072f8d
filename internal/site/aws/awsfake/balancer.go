package awsfake

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
)

const elbID = "Elastic Load Balancing v2"

// LoadBalancing is the client of load balancers, listeners, rules and target groups.
type LoadBalancing struct{ c *Cloud }

// LoadBalancing returns a client.
func (c *Cloud) LoadBalancing() LoadBalancing { return LoadBalancing{c} }

type lbState struct {
	balancers map[string]*balancer // all by ARN
	listeners map[string]*listener
	rules     map[string]*rule
	groups    map[string]*targetGroup
	tags      map[string]tags
}

func newLBState() lbState {
	return lbState{balancers: map[string]*balancer{}, listeners: map[string]*listener{}, rules: map[string]*rule{},
		groups: map[string]*targetGroup{}, tags: map[string]tags{}}
}

type balancer struct {
	arn, name, vpc string
	dns            string // that a test has given it; "": AWS's own
	scheme         types.LoadBalancerSchemeEnum
	subnets        []string
	security       []string
	created        time.Time
}

type listener struct {
	arn, balancer string
	port          int32
	protocol      types.ProtocolEnum
	policy        *string
	certificates  []types.Certificate
}

// rule is one of a listener; the one with priority 0 is its default.
type rule struct {
	arn, listener string
	priority      int
	conditions    []types.RuleCondition
	actions       []types.Action
	credit        map[string]int // of the smooth weighted choice, by target group
}

// first is the first forward of a rule, or nil.
func (r *rule) forward() *types.ForwardActionConfig {
	for _, a := range r.actions {
		if a.Type == types.ActionTypeEnumForward {
			return a.ForwardConfig
		}
	}
	return nil
}

func (b *balancer) describe(c *Cloud) types.LoadBalancer {
	d := types.LoadBalancer{LoadBalancerArn: aws.String(b.arn), LoadBalancerName: aws.String(b.name), Scheme: b.scheme, VpcId: aws.String(b.vpc),
		DNSName: aws.String(b.host(c)), CreatedTime: aws.Time(b.created), Type: types.LoadBalancerTypeEnumApplication, SecurityGroups: slices.Clone(b.security),
		State: &types.LoadBalancerState{Code: types.LoadBalancerStateEnumActive}, IpAddressType: types.IpAddressTypeIpv4}
	for _, id := range b.subnets {
		zone := types.AvailabilityZone{SubnetId: aws.String(id)}
		if s := c.ec2.subnets[id]; s != nil {
			zone.ZoneName = aws.String(s.zone)
		}
		d.AvailabilityZones = append(d.AvailabilityZones, zone)
	}
	return d
}

// SetDNSName gives a load balancer another DNS name, or an address: that of a
// server of the test's which stands for it.
func (c *Cloud) SetDNSName(balancer, dns string) error {
	defer c.enter()()
	for _, b := range c.lb.balancers {
		if b.name == balancer {
			b.dns = dns
			c.change()
			return nil
		}
	}
	return noBalancer(balancer)
}

func (b *balancer) host(c *Cloud) string {
	if b.dns != "" {
		return b.dns
	}
	prefix := ""
	if b.scheme == types.LoadBalancerSchemeEnumInternal {
		prefix = "internal-"
	}
	return fmt.Sprintf("%s%s-1.%s.elb.amazonaws.com", prefix, b.name, c.options.Region)
}

// suffix is what dimensions of metrics name a load balancer or target group by.
func suffix(arn string) string {
	last := arn[strings.LastIndex(arn, ":")+1:]
	return strings.TrimPrefix(last, "loadbalancer/")
}

func elbTags(list []types.Tag) tags {
	t := tags{}
	for _, tag := range list {
		t[aws.ToString(tag.Key)] = aws.ToString(tag.Value)
	}
	return t
}

// CreateLoadBalancer implements the SDK's method.
func (l LoadBalancing) CreateLoadBalancer(ctx ctx, in *elb.CreateLoadBalancerInput, _ ...func(*elb.Options)) (*elb.CreateLoadBalancerOutput, error) {
	return call(ctx, l.c, elbID, "CreateLoadBalancer", write, in, func(in *elb.CreateLoadBalancerInput) (*elb.CreateLoadBalancerOutput, error) {
		name := aws.ToString(in.Name)
		if len(name) > 32 {
			return nil, validation("The load balancer name '%s' cannot be longer than '32' characters", name)
		}
		for _, b := range l.c.lb.balancers {
			if b.name == name {
				return nil, &types.DuplicateLoadBalancerNameException{Message: aws.String("A load balancer with the same name '" + name + "' exists, but with different settings")}
			}
		}
		b := &balancer{arn: l.c.arn("elasticloadbalancing", "loadbalancer/app/%s/%016x", name, l.c.serial), name: name, created: l.c.now,
			scheme: cmp.Or(in.Scheme, types.LoadBalancerSchemeEnumInternetFacing), subnets: slices.Clone(in.Subnets), security: slices.Clone(in.SecurityGroups)}
		zones := map[string]bool{}
		for _, id := range in.Subnets {
			s := l.c.ec2.subnets[id]
			if s == nil {
				return nil, &types.SubnetNotFoundException{Message: aws.String("The subnet ID '" + id + "' does not exist")}
			}
			b.vpc, zones[s.zone] = s.vpc, true
		}
		if len(zones) < 2 {
			return nil, &types.InvalidSubnetException{Message: aws.String("At least two subnets in two different Availability Zones must be specified")}
		}
		l.c.serial++
		l.c.lb.balancers[b.arn], l.c.lb.tags[b.arn] = b, elbTags(in.Tags)
		return &elb.CreateLoadBalancerOutput{LoadBalancers: []types.LoadBalancer{b.describe(l.c)}}, nil
	})
}

// DescribeLoadBalancers implements the SDK's method.
func (l LoadBalancing) DescribeLoadBalancers(ctx ctx, in *elb.DescribeLoadBalancersInput, _ ...func(*elb.Options)) (*elb.DescribeLoadBalancersOutput, error) {
	return call(ctx, l.c, elbID, "DescribeLoadBalancers", read, in, func(in *elb.DescribeLoadBalancersInput) (*elb.DescribeLoadBalancersOutput, error) {
		var found []types.LoadBalancer
		names := map[string]bool{}
		for _, arn := range sorted(l.c.lb.balancers) {
			b := l.c.lb.balancers[arn]
			names[b.name], names[arn] = true, true
			if len(in.Names)+len(in.LoadBalancerArns) == 0 || slices.Contains(in.Names, b.name) || slices.Contains(in.LoadBalancerArns, arn) {
				found = append(found, b.describe(l.c))
			}
		}
		for _, asked := range slices.Concat(in.Names, in.LoadBalancerArns) {
			if !names[asked] {
				return nil, noBalancer(asked)
			}
		}
		part, next, err := page(l.c, found, in.Marker, in.PageSize, 400)
		return &elb.DescribeLoadBalancersOutput{LoadBalancers: part, NextMarker: next}, err
	})
}

func noBalancer(asked string) error {
	return &types.LoadBalancerNotFoundException{Message: aws.String("Load balancers '[" + asked + "]' not found")}
}

// DeleteLoadBalancer implements the SDK's method: its listeners end with it.
func (l LoadBalancing) DeleteLoadBalancer(ctx ctx, in *elb.DeleteLoadBalancerInput, _ ...func(*elb.Options)) (*elb.DeleteLoadBalancerOutput, error) {
	return call(ctx, l.c, elbID, "DeleteLoadBalancer", write, in, func(in *elb.DeleteLoadBalancerInput) (*elb.DeleteLoadBalancerOutput, error) {
		arn := aws.ToString(in.LoadBalancerArn)
		for _, x := range l.c.lb.listeners {
			if x.balancer == arn {
				l.c.removeListener(x)
			}
		}
		delete(l.c.lb.balancers, arn)
		delete(l.c.lb.tags, arn)
		return &elb.DeleteLoadBalancerOutput{}, nil
	})
}

func (c *Cloud) removeListener(x *listener) {
	for arn, r := range c.lb.rules {
		if r.listener == x.arn {
			delete(c.lb.rules, arn)
		}
	}
	delete(c.lb.listeners, x.arn)
}

func (c *Cloud) defaultRule(listener string) *rule {
	for _, r := range c.lb.rules {
		if r.listener == listener && r.priority == 0 {
			return r
		}
	}
	return nil
}

func (x *listener) describe(c *Cloud) (types.Listener, error) {
	r, err := c.defaultRule(x.arn).describe()
	return types.Listener{ListenerArn: aws.String(x.arn), LoadBalancerArn: aws.String(x.balancer), Port: aws.Int32(x.port), Protocol: x.protocol,
		SslPolicy: x.policy, Certificates: slices.Clone(x.certificates), DefaultActions: r.Actions}, err
}

// certified: without a certificate nobody is spoken to by HTTPS. Whether a
// certificate exists the fake does not know.
func (x *listener) certified() error {
	if x.protocol != types.ProtocolEnumHttps {
		return nil
	}
	if len(x.certificates) == 0 {
		return validation("A certificate must be specified for HTTPS listeners")
	}
	if x.policy == nil {
		x.policy = aws.String("ELBSecurityPolicy-2016-08")
	}
	return nil
}

// CreateListener implements the SDK's method.
func (l LoadBalancing) CreateListener(ctx ctx, in *elb.CreateListenerInput, _ ...func(*elb.Options)) (*elb.CreateListenerOutput, error) {
	return call(ctx, l.c, elbID, "CreateListener", write, in, func(in *elb.CreateListenerInput) (*elb.CreateListenerOutput, error) {
		b := l.c.lb.balancers[aws.ToString(in.LoadBalancerArn)]
		if b == nil {
			return nil, noBalancer(aws.ToString(in.LoadBalancerArn))
		}
		x := &listener{arn: fmt.Sprintf("%s/%016x", strings.Replace(b.arn, ":loadbalancer/", ":listener/", 1), l.c.serial), balancer: b.arn,
			port: aws.ToInt32(in.Port), protocol: in.Protocol, policy: in.SslPolicy, certificates: slices.Clone(in.Certificates)}
		if err := x.certified(); err != nil {
			return nil, err
		}
		for _, other := range l.c.lb.listeners {
			if other.balancer == b.arn && other.port == x.port {
				return nil, &types.DuplicateListenerException{Message: aws.String("A listener already exists on this port for this load balancer '" + b.arn + "'")}
			}
		}
		actions, err := l.c.actions(b.arn, in.DefaultActions)
		if err != nil {
			return nil, err
		}
		l.c.serial++
		l.c.lb.listeners[x.arn], l.c.lb.tags[x.arn] = x, elbTags(in.Tags)
		l.c.addRule(x, 0, nil, actions)
		d, err := x.describe(l.c)
		return &elb.CreateListenerOutput{Listeners: []types.Listener{d}}, err
	})
}

// DescribeListeners implements the SDK's method.
func (l LoadBalancing) DescribeListeners(ctx ctx, in *elb.DescribeListenersInput, _ ...func(*elb.Options)) (*elb.DescribeListenersOutput, error) {
	return call(ctx, l.c, elbID, "DescribeListeners", read, in, func(in *elb.DescribeListenersInput) (*elb.DescribeListenersOutput, error) {
		if in.LoadBalancerArn != nil && l.c.lb.balancers[*in.LoadBalancerArn] == nil {
			return nil, noBalancer(*in.LoadBalancerArn)
		}
		for _, arn := range in.ListenerArns {
			if l.c.lb.listeners[arn] == nil {
				return nil, noListener(arn)
			}
		}
		var found []types.Listener
		for _, arn := range sorted(l.c.lb.listeners) {
			x := l.c.lb.listeners[arn]
			if slices.Contains(in.ListenerArns, arn) || x.balancer == aws.ToString(in.LoadBalancerArn) {
				d, err := x.describe(l.c)
				if err != nil {
					return nil, err
				}
				found = append(found, d)
			}
		}
		part, next, err := page(l.c, found, in.Marker, in.PageSize, 400)
		return &elb.DescribeListenersOutput{Listeners: part, NextMarker: next}, err
	})
}

func noListener(arn string) error {
	return &types.ListenerNotFoundException{Message: aws.String("One or more listeners not found: " + arn)}
}

// ModifyListener implements the SDK's method.
func (l LoadBalancing) ModifyListener(ctx ctx, in *elb.ModifyListenerInput, _ ...func(*elb.Options)) (*elb.ModifyListenerOutput, error) {
	return call(ctx, l.c, elbID, "ModifyListener", write, in, func(in *elb.ModifyListenerInput) (*elb.ModifyListenerOutput, error) {
		x := l.c.lb.listeners[aws.ToString(in.ListenerArn)]
		if x == nil {
			return nil, noListener(aws.ToString(in.ListenerArn))
		}
		if in.DefaultActions != nil {
			actions, err := l.c.actions(x.balancer, in.DefaultActions)
			if err != nil {
				return nil, err
			}
			r := l.c.defaultRule(x.arn)
			r.actions, r.credit = actions, map[string]int{}
		}
		if in.Port != nil {
			x.port = *in.Port
		}
		d, err := x.describe(l.c)
		return &elb.ModifyListenerOutput{Listeners: []types.Listener{d}}, err
	})
}

// DeleteListener implements the SDK's method.
func (l LoadBalancing) DeleteListener(ctx ctx, in *elb.DeleteListenerInput, _ ...func(*elb.Options)) (*elb.DeleteListenerOutput, error) {
	return call(ctx, l.c, elbID, "DeleteListener", write, in, func(in *elb.DeleteListenerInput) (*elb.DeleteListenerOutput, error) {
		x := l.c.lb.listeners[aws.ToString(in.ListenerArn)]
		if x == nil {
			return nil, noListener(aws.ToString(in.ListenerArn))
		}
		l.c.removeListener(x)
		return &elb.DeleteListenerOutput{}, nil
	})
}

// DescribeTags implements the SDK's method: 20 resources at a time.
func (l LoadBalancing) DescribeTags(ctx ctx, in *elb.DescribeTagsInput, _ ...func(*elb.Options)) (*elb.DescribeTagsOutput, error) {
	return call(ctx, l.c, elbID, "DescribeTags", read, in, func(in *elb.DescribeTagsInput) (*elb.DescribeTagsOutput, error) {
		if len(in.ResourceArns) > 20 {
			return nil, validation("The number of resource ARNs must not exceed 20, and is %s", strconv.Itoa(len(in.ResourceArns)))
		}
		out := &elb.DescribeTagsOutput{}
		for _, arn := range in.ResourceArns {
			t, ok := l.c.lb.tags[arn]
			switch {
			case ok:
			case strings.Contains(arn, ":targetgroup/"):
				return nil, noTargetGroup(arn)
			default:
				return nil, noBalancer(arn)
			}
			d := types.TagDescription{ResourceArn: aws.String(arn)}
			for _, tag := range t.list() {
				d.Tags = append(d.Tags, types.Tag{Key: tag.Key, Value: tag.Value})
			}
			out.TagDescriptions = append(out.TagDescriptions, d)
		}
		return out, nil
	})
}
