package aws

import (
	"context"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
)

// rule is a rule of a listener, or its default action, that forwards to a service.
type rule struct {
	arn      string // "" for a default action
	listener string
	actions  []types.Action
}

// rules are those that forward to any of the target groups.
func (s *Site) rules(ctx context.Context, groups []targetGroup) ([]rule, error) {
	var balancers []string
	for _, g := range groups {
		balancers = append(balancers, g.loadBalancers...)
	}
	slices.Sort(balancers)
	var found []rule
	for _, arn := range slices.Compact(balancers) {
		listeners, err := s.listeners(ctx, arn)
		if err != nil {
			return nil, err
		}
		for _, listener := range listeners {
			all, err := s.rulesOf(ctx, listener)
			if err != nil {
				return nil, err
			}
			for _, r := range all {
				if forwards(r.actions, groups) {
					found = append(found, r)
				}
			}
		}
	}
	return found, nil
}

func (s *Site) listeners(ctx context.Context, balancer string) ([]string, error) {
	var all []string
	err := pages(func(token *string) (*string, error) {
		out, err := s.clients.LoadBalancing.DescribeListeners(ctx, &elb.DescribeListenersInput{LoadBalancerArn: &balancer, Marker: token})
		if err != nil {
			return nil, explain("reading the listeners of "+suffix(balancer), err)
		}
		for _, l := range out.Listeners {
			all = append(all, aws.ToString(l.ListenerArn))
		}
		return out.NextMarker, nil
	})
	return all, err
}

func (s *Site) rulesOf(ctx context.Context, listener string) ([]rule, error) {
	var all []rule
	err := pages(func(token *string) (*string, error) {
		out, err := s.clients.LoadBalancing.DescribeRules(ctx, &elb.DescribeRulesInput{ListenerArn: &listener, Marker: token})
		if err != nil {
			return nil, explain("reading the rules of "+suffix(listener), err)
		}
		for _, r := range out.Rules {
			read := rule{arn: aws.ToString(r.RuleArn), listener: listener, actions: r.Actions}
			if aws.ToBool(r.IsDefault) {
				read.arn = ""
			}
			all = append(all, read)
		}
		return out.NextMarker, nil
	})
	return all, err
}

func forwards(actions []types.Action, groups []targetGroup) bool {
	for _, a := range actions {
		for _, t := range forwarded(a) {
			if slices.ContainsFunc(groups, func(g targetGroup) bool { return g.arn == aws.ToString(t.TargetGroupArn) }) {
				return true
			}
		}
	}
	return false
}

// forward gives a rule other actions.
func (s *Site) forward(ctx context.Context, r rule, actions []types.Action) error {
	var err error
	if r.arn == "" {
		_, err = s.clients.LoadBalancing.ModifyListener(ctx, &elb.ModifyListenerInput{ListenerArn: &r.listener, DefaultActions: actions})
	} else {
		_, err = s.clients.LoadBalancing.ModifyRule(ctx, &elb.ModifyRuleInput{RuleArn: &r.arn, Actions: actions})
	}
	return explain("setting weights in "+r.name(), err)
}

func (r rule) name() string {
	if r.arn == "" {
		return "the default action of " + suffix(r.listener)
	}
	return suffix(r.arn)
}
