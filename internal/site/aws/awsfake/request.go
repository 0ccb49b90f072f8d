package awsfake

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
)

// Request is a request in flight, as a client of a load balancer sees it.
type Request struct {
	Instance string // that serves it
	Image    string // of which it was launched
	Version  int    // of the launch template

	c        *Cloud
	balancer string
	group    *targetGroup
	target   *target
	instance *instance
}

// sample is a request that was answered.
type sample struct {
	at              time.Time
	balancer, group string // as metrics name them; no group: the load balancer answered itself
	status          int
	took            time.Duration
}

// patterns of a condition.
func patterns(c types.RuleCondition) []string {
	switch {
	case c.HostHeaderConfig != nil:
		return c.HostHeaderConfig.Values
	case c.PathPatternConfig != nil:
		return c.PathPatternConfig.Values
	}
	return c.Values
}

// applies says whether a rule is for this request.
func (r *rule) applies(host, path string) bool {
	for _, c := range r.conditions {
		value := path
		if aws.ToString(c.Field) == "host-header" {
			value = host
		}
		if !slices.ContainsFunc(patterns(c), func(p string) bool { return wildcard(p, value) }) {
			return false
		}
	}
	return true
}

// choose is smooth weighted round robin over the target groups of a forward;
// AWS chooses by chance with the same weights. It does not look at their health.
func (r *rule) choose(f *types.ForwardActionConfig) string {
	best, total := "", 0
	for _, t := range f.TargetGroups {
		arn, w := *t.TargetGroupArn, int(*t.Weight)
		if w == 0 {
			continue
		}
		r.credit[arn] += w
		total += w
		if best == "" || r.credit[arn] > r.credit[best] {
			best = arn
		}
	}
	if best != "" {
		r.credit[best] -= total
	}
	return best
}

// pick is round robin over the healthy targets; where there is none, over all:
// AWS fails open.
func (tg *targetGroup) pick() *target {
	var healthy, others []*target
	for _, id := range sorted(tg.targets) {
		switch t := tg.targets[id]; t.state {
		case types.TargetHealthStateEnumHealthy:
			healthy = append(healthy, t)
		case types.TargetHealthStateEnumDraining:
		default:
			others = append(others, t)
		}
	}
	if len(healthy) == 0 {
		healthy = others
	}
	if len(healthy) == 0 {
		return nil
	}
	tg.turn++
	return healthy[tg.turn%len(healthy)]
}

// Begin sends a request to a load balancer, by its name; its listener for HTTPS,
// or else HTTP, takes it. An error is what a client sees as 5xx. End it.
func (c *Cloud) Begin(balancerName, host, path string) (*Request, error) {
	defer c.enter()()
	b, x := c.entrance(balancerName)
	if x == nil {
		return nil, fmt.Errorf("no load balancer %s listens", balancerName)
	}
	refuse := func(status int, format string, args ...any) (*Request, error) {
		c.samples = append(c.samples, sample{at: c.now, balancer: suffix(b.arn), status: status})
		return nil, fmt.Errorf("%d from load balancer %s for %s%s: %s", status, balancerName, host, path, fmt.Sprintf(format, args...))
	}
	for _, r := range c.ordered(x.arn, nil) {
		if !r.applies(host, path) {
			continue
		}
		f := r.forward()
		if f == nil {
			return refuse(http.StatusServiceUnavailable, "its rule does not forward")
		}
		tg := c.lb.groups[r.choose(f)]
		if tg == nil {
			return refuse(http.StatusServiceUnavailable, "no target group has weight")
		}
		t := tg.pick()
		if t == nil {
			return refuse(http.StatusServiceUnavailable, "target group %s has no target", tg.name)
		}
		i := c.ec2.instances[t.id]
		if i == nil || i.state != ec2types.InstanceStateNameRunning || t.state != types.TargetHealthStateEnumHealthy && i.image.behaviour.Unhealthy {
			return refuse(http.StatusBadGateway, "target %s of %s does not answer", t.id, tg.name)
		}
		t.inFlight++
		i.inFlight++
		return &Request{Instance: i.id, Image: i.image.id, Version: i.version, c: c, balancer: suffix(b.arn), group: tg, target: t, instance: i}, nil
	}
	return refuse(http.StatusNotFound, "no rule applies")
}

func (c *Cloud) entrance(name string) (*balancer, *listener) {
	var best *listener
	var at *balancer
	for _, arn := range sorted(c.lb.listeners) {
		x := c.lb.listeners[arn]
		b := c.lb.balancers[x.balancer]
		if b == nil || b.name != name {
			continue
		}
		if best == nil || x.protocol == types.ProtocolEnumHttps && best.protocol != types.ProtocolEnumHttps {
			at, best = b, x
		}
	}
	return at, best
}

// End lets the instance answer as its image behaves. The error is a 5xx, or that
// the instance ended, or its draining was over, before the request was.
func (r *Request) End() error {
	defer r.c.enter()()
	r.target.inFlight--
	r.instance.inFlight--
	status, took := r.instance.image.serve()
	cut := r.target.gone || r.instance.state != ec2types.InstanceStateNameRunning
	if cut {
		status = http.StatusBadGateway
	}
	r.c.samples = append(r.c.samples, sample{r.c.now, r.balancer, suffix(r.group.arn), status, took})
	if r.target.state == types.TargetHealthStateEnumDraining {
		r.c.drained(r.group, r.target)
	}
	if r.instance.leaving() {
		r.c.proceed(r.instance)
	}
	r.c.change()
	switch {
	case cut:
		return fmt.Errorf("%d: instance %s was gone before it had answered", status, r.Instance)
	case status >= 500:
		return fmt.Errorf("%d from instance %s", status, r.Instance)
	}
	return nil
}

// Request sends one and waits for nothing.
func (c *Cloud) Request(ctx ctx, balancerName, host, path string) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	r, err := c.Begin(balancerName, host, path)
	if err != nil {
		return err
	}
	return r.End()
}
