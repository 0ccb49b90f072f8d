package aws

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"godwit/internal/landscape"
	"godwit/internal/site"
	"godwit/internal/site/aws/convention"
)

var _ site.Fronted = (*Site)(nil)

// frontPort is where clients come to.
const frontPort = 443

// Front implements site.Fronted: the public load balancer of the environment, by
// HTTPS. Its certificate is asked for by the first of the service's hosts. Every
// host of the service must be sent to it there, for the gateway will send all of
// them. Whether an instance answers is not asked.
func (s *Site) Front(ctx context.Context, environment, service string) (site.Front, error) {
	hosts, err := s.hosts(environment, service)
	if err != nil {
		return site.Front{}, err
	}
	scope := s.scope(environment)
	balancer, err := s.publicBalancer(ctx, scope)
	if err != nil {
		return site.Front{}, err
	}
	listener, err := s.httpsListener(ctx, scope, aws.ToString(balancer.LoadBalancerArn))
	if err != nil {
		return site.Front{}, err
	}
	groups, err := s.publicGroups(ctx, scope, service)
	if err != nil {
		return site.Front{}, err
	}
	rules, err := s.hostRules(ctx, listener)
	if err != nil {
		return site.Front{}, err
	}
	for _, host := range hosts {
		if !slices.ContainsFunc(rules, func(r types.Rule) bool { return isFor(r, host) && forwards(r.Actions, groups) }) {
			return site.Front{}, absent(scope, "load balancer %s has no rule that sends requests for %s to service %s",
				scope.LoadBalancer(convention.Public, ""), host, service)
		}
	}
	return site.Front{Address: net.JoinHostPort(aws.ToString(balancer.DNSName), strconv.Itoa(frontPort)), TLS: hosts[0]}, nil
}

// absent is what apply makes and is not there.
func absent(scope convention.Scope, format string, args ...any) error {
	return fmt.Errorf("%s: run `godwit aws apply --env %s`: %w", fmt.Sprintf(format, args...), scope.Environment, site.ErrNotFound)
}

// hosts are those of a service's ingresses in an environment, sorted.
func (s *Site) hosts(environment, service string) ([]string, error) {
	l := s.declared()
	if _, ok := l.Environment(environment); !ok {
		return nil, fmt.Errorf("landscape %s declares no environment %s: %w", l.Name, environment, site.ErrNotFound)
	}
	var hosts []string
	for _, in := range l.Ingresses {
		if in.Service == service {
			hosts = append(hosts, landscape.IngressHost(l, in, environment))
		}
	}
	if len(hosts) == 0 {
		return nil, fmt.Errorf("service %s has no ingress in landscape %s, nobody reaches it from outside: declare one, then run `godwit aws apply --env %s`: %w",
			service, l.Name, environment, site.ErrNotFound)
	}
	slices.Sort(hosts)
	return hosts, nil
}

// publicBalancer finds the public load balancer by its name, and knows by its tags
// that it is this environment's: another landscape's may have the same.
func (s *Site) publicBalancer(ctx context.Context, scope convention.Scope) (types.LoadBalancer, error) {
	name := scope.LoadBalancer(convention.Public, "")
	out, err := s.clients.LoadBalancing.DescribeLoadBalancers(ctx, &elb.DescribeLoadBalancersInput{Names: []string{name}})
	var missing *types.LoadBalancerNotFoundException
	if errors.As(err, &missing) || err == nil && len(out.LoadBalancers) == 0 {
		if _, err := s.vpc(ctx, scope); err != nil {
			return types.LoadBalancer{}, err // there is no environment at all
		}
		return types.LoadBalancer{}, absent(scope, "environment %s of %s has no public load balancer %s", scope.Environment, scope.Landscape, name)
	}
	if err != nil {
		return types.LoadBalancer{}, explain("looking for load balancer "+name, err)
	}
	b := out.LoadBalancers[0]
	if b.State != nil && (b.State.Code == types.LoadBalancerStateEnumProvisioning || b.State.Code == types.LoadBalancerStateEnumFailed) {
		return types.LoadBalancer{}, fmt.Errorf("load balancer %s takes no requests, its state is %s: wait until `godwit aws apply --env %s` has ended, or run it: %w",
			name, b.State.Code, scope.Environment, site.ErrNotFound)
	}
	return b, s.owned(ctx, scope, name, aws.ToString(b.LoadBalancerArn))
}

// owned refuses a load balancer without the tags of the environment.
func (s *Site) owned(ctx context.Context, scope convention.Scope, name, arn string) error {
	out, err := s.clients.LoadBalancing.DescribeTags(ctx, &elb.DescribeTagsInput{ResourceArns: []string{arn}})
	if err != nil {
		return explain("reading the tags of load balancer "+name, err)
	}
	tags := map[string]string{}
	for _, d := range out.TagDescriptions {
		for _, t := range d.Tags {
			tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
		}
	}
	if tags[convention.TagLandscape] == scope.Landscape && tags[convention.TagEnvironment] == scope.Environment {
		return nil
	}
	return absent(scope, "load balancer %s is not that of environment %s of %s, its tags %s and %s say %q and %q",
		name, scope.Environment, scope.Landscape, convention.TagLandscape, convention.TagEnvironment, tags[convention.TagLandscape], tags[convention.TagEnvironment])
}

// httpsListener is the ARN of a load balancer's listener for clients.
func (s *Site) httpsListener(ctx context.Context, scope convention.Scope, balancer string) (string, error) {
	found := ""
	err := pages(func(token *string) (*string, error) {
		out, err := s.clients.LoadBalancing.DescribeListeners(ctx, &elb.DescribeListenersInput{LoadBalancerArn: &balancer, Marker: token})
		if err != nil {
			return nil, explain("reading the listeners of "+suffix(balancer), err)
		}
		for _, l := range out.Listeners {
			if aws.ToInt32(l.Port) == frontPort && l.Protocol == types.ProtocolEnumHttps {
				found = aws.ToString(l.ListenerArn)
			}
		}
		return out.NextMarker, nil
	})
	if err == nil && found == "" {
		err = absent(scope, "load balancer %s does not listen by HTTPS on port %d", scope.LoadBalancer(convention.Public, ""), frontPort)
	}
	return found, err
}

// publicGroups are the target groups of a service behind the public load balancer.
func (s *Site) publicGroups(ctx context.Context, scope convention.Scope, service string) ([]targetGroup, error) {
	places, err := s.groupsOf(ctx, scope, service)
	if err != nil {
		return nil, err
	}
	var arns []string
	for _, p := range places {
		arns = append(arns, p.targetGroups...)
	}
	all, err := s.targetGroups(ctx, scope, service, arns)
	return slices.DeleteFunc(all, func(g targetGroup) bool { return g.face != convention.Public }), err
}

// hostRules are all rules of a listener, with what they are for.
func (s *Site) hostRules(ctx context.Context, listener string) ([]types.Rule, error) {
	var all []types.Rule
	err := pages(func(token *string) (*string, error) {
		out, err := s.clients.LoadBalancing.DescribeRules(ctx, &elb.DescribeRulesInput{ListenerArn: &listener, Marker: token})
		if err != nil {
			return nil, explain("reading the rules of "+suffix(listener), err)
		}
		all = append(all, out.Rules...)
		return out.NextMarker, nil
	})
	return all, err
}

// isFor says whether a rule names a host, as those that Terraform makes do.
func isFor(r types.Rule, host string) bool {
	return slices.ContainsFunc(r.Conditions, func(c types.RuleCondition) bool {
		named := c.Values
		if c.HostHeaderConfig != nil {
			named = slices.Concat(named, c.HostHeaderConfig.Values)
		}
		return aws.ToString(c.Field) == "host-header" && slices.ContainsFunc(named, func(n string) bool { return strings.EqualFold(n, host) })
	})
}
