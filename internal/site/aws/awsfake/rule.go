package awsfake

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
)

// actions checks what a rule is to do, and writes it as AWS does: a forward has
// its target groups with their weights, and when it is only one, also by itself.
func (c *Cloud) actions(balancer string, asked []types.Action) ([]types.Action, error) {
	if len(asked) == 0 {
		return nil, validation("A listener or rule needs an action")
	}
	var out []types.Action
	for _, action := range asked {
		var a types.Action
		if err := copied(&a, action); err != nil {
			return nil, err
		}
		if a.Type == types.ActionTypeEnumForward {
			if err := c.forwards(balancer, &a); err != nil {
				return nil, err
			}
		}
		out = append(out, a)
	}
	return out, nil
}

func (c *Cloud) forwards(balancer string, a *types.Action) error {
	if a.ForwardConfig == nil {
		if a.TargetGroupArn == nil {
			return validation("A forward action needs a target group")
		}
		a.ForwardConfig = &types.ForwardActionConfig{TargetGroups: []types.TargetGroupTuple{{TargetGroupArn: a.TargetGroupArn, Weight: aws.Int32(1)}}}
	}
	groups := a.ForwardConfig.TargetGroups
	if n := len(groups); n < 1 || n > 5 {
		return validation("A forward action takes 1 to 5 target groups, and this one has %d", n)
	}
	seen := map[string]bool{}
	for i := range groups {
		arn := aws.ToString(groups[i].TargetGroupArn)
		tg := c.lb.groups[arn]
		if tg == nil {
			return noTargetGroup(arn)
		}
		if seen[arn] {
			return validation("Target group '%s' is specified more than once", arn)
		}
		seen[arn] = true
		if groups[i].Weight == nil {
			groups[i].Weight = aws.Int32(1)
		}
		if w := *groups[i].Weight; w < 0 || w > 999 {
			return validation("The weight of target group '%s' must be between 0 and 999, and is %d", arn, w)
		}
		for _, other := range c.users(arn) {
			if other != balancer {
				return &types.TargetGroupAssociationLimitException{Message: aws.String("The following target groups cannot be associated with more than one load balancer: " + arn)}
			}
		}
	}
	a.TargetGroupArn = nil
	if len(groups) == 1 {
		a.TargetGroupArn = groups[0].TargetGroupArn
	}
	if a.ForwardConfig.TargetGroupStickinessConfig == nil {
		a.ForwardConfig.TargetGroupStickinessConfig = &types.TargetGroupStickinessConfig{Enabled: aws.Bool(false)}
	}
	return nil
}

// users are the load balancers that have a rule which forwards to a target group.
func (c *Cloud) users(arn string) []string {
	var out []string
	for _, r := range c.lb.rules {
		f := r.forward()
		if f == nil || !slices.ContainsFunc(f.TargetGroups, func(t types.TargetGroupTuple) bool { return *t.TargetGroupArn == arn }) {
			continue
		}
		if b := c.lb.listeners[r.listener].balancer; !slices.Contains(out, b) {
			out = append(out, b)
		}
	}
	slices.Sort(out)
	return out
}

func (c *Cloud) addRule(x *listener, priority int, conditions []types.RuleCondition, actions []types.Action) *rule {
	c.serial++
	r := &rule{arn: fmt.Sprintf("%s/%016x", strings.Replace(x.arn, ":listener/", ":listener-rule/", 1), c.serial), listener: x.arn,
		priority: priority, conditions: conditions, actions: actions, credit: map[string]int{}}
	c.lb.rules[r.arn] = r
	return r
}

func (r *rule) describe() (types.Rule, error) {
	d := types.Rule{RuleArn: aws.String(r.arn), IsDefault: aws.Bool(r.priority == 0), Priority: aws.String("default")}
	if r.priority > 0 {
		d.Priority = aws.String(strconv.Itoa(r.priority))
	}
	all := struct {
		Actions    []types.Action
		Conditions []types.RuleCondition
	}{r.actions, r.conditions}
	into := all
	into.Actions, into.Conditions = nil, nil
	err := copied(&into, all)
	d.Actions, d.Conditions = into.Actions, into.Conditions
	return d, err
}

func copiedConditions(in []types.RuleCondition) ([]types.RuleCondition, error) {
	var out struct{ Conditions []types.RuleCondition }
	err := copied(&out, struct{ Conditions []types.RuleCondition }{in})
	for i, c := range out.Conditions {
		switch {
		case c.Field == nil || *c.Field != "host-header" && *c.Field != "path-pattern":
			return nil, fail(400, "GodwitFakeRefuses", "the fake knows conditions host-header and path-pattern, not %s", aws.ToString(c.Field))
		case len(patterns(c)) == 0:
			return nil, validation("A condition value must be specified")
		}
		out.Conditions[i].Values = patterns(c)
	}
	return out.Conditions, err
}

// CreateRule implements the SDK's method.
func (l LoadBalancing) CreateRule(ctx ctx, in *elb.CreateRuleInput, _ ...func(*elb.Options)) (*elb.CreateRuleOutput, error) {
	return call(ctx, l.c, elbID, "CreateRule", write, in, func(in *elb.CreateRuleInput) (*elb.CreateRuleOutput, error) {
		x := l.c.lb.listeners[aws.ToString(in.ListenerArn)]
		if x == nil {
			return nil, noListener(aws.ToString(in.ListenerArn))
		}
		priority := int(aws.ToInt32(in.Priority))
		if priority < 1 || priority > 50000 {
			return nil, validation("Priority must be between 1 and 50000, and is %d", priority)
		}
		for _, r := range l.c.lb.rules {
			if r.listener == x.arn && r.priority == priority {
				return nil, &types.PriorityInUseException{Message: aws.String("The specified priority is in use.")}
			}
		}
		actions, err := l.c.actions(x.balancer, in.Actions)
		if err != nil {
			return nil, err
		}
		conditions, err := copiedConditions(in.Conditions)
		if err != nil {
			return nil, err
		}
		r := l.c.addRule(x, priority, conditions, actions)
		l.c.lb.tags[r.arn] = elbTags(in.Tags)
		d, err := r.describe()
		return &elb.CreateRuleOutput{Rules: []types.Rule{d}}, err
	})
}

func noRule(arn string) error {
	return &types.RuleNotFoundException{Message: aws.String("One or more rules not found: " + arn)}
}

// DescribeRules implements the SDK's method; the default rule comes last.
func (l LoadBalancing) DescribeRules(ctx ctx, in *elb.DescribeRulesInput, _ ...func(*elb.Options)) (*elb.DescribeRulesOutput, error) {
	return call(ctx, l.c, elbID, "DescribeRules", read, in, func(in *elb.DescribeRulesInput) (*elb.DescribeRulesOutput, error) {
		if in.ListenerArn != nil && l.c.lb.listeners[*in.ListenerArn] == nil {
			return nil, noListener(*in.ListenerArn)
		}
		var found []types.Rule
		for _, r := range l.c.ordered(aws.ToString(in.ListenerArn), in.RuleArns) {
			d, err := r.describe()
			if err != nil {
				return nil, err
			}
			found = append(found, d)
		}
		for _, arn := range in.RuleArns {
			if l.c.lb.rules[arn] == nil {
				return nil, noRule(arn)
			}
		}
		part, next, err := page(l.c, found, in.Marker, in.PageSize, 400)
		return &elb.DescribeRulesOutput{Rules: part, NextMarker: next}, err
	})
}

// ordered are the rules of a listener, or those named, by priority.
func (c *Cloud) ordered(listener string, arns []string) []*rule {
	var out []*rule
	for _, arn := range sorted(c.lb.rules) {
		if r := c.lb.rules[arn]; r.listener == listener || slices.Contains(arns, arn) {
			out = append(out, r)
		}
	}
	slices.SortStableFunc(out, func(a, b *rule) int { return cmp.Compare(uint(a.priority-1), uint(b.priority-1)) })
	return out
}

// ModifyRule implements the SDK's method: what it says is replaced as a whole.
func (l LoadBalancing) ModifyRule(ctx ctx, in *elb.ModifyRuleInput, _ ...func(*elb.Options)) (*elb.ModifyRuleOutput, error) {
	return call(ctx, l.c, elbID, "ModifyRule", write, in, func(in *elb.ModifyRuleInput) (*elb.ModifyRuleOutput, error) {
		r := l.c.lb.rules[aws.ToString(in.RuleArn)]
		if r == nil {
			return nil, noRule(aws.ToString(in.RuleArn))
		}
		if r.priority == 0 {
			return nil, &types.OperationNotPermittedException{Message: aws.String("Default rule '" + r.arn + "' cannot be modified")}
		}
		next := *r
		if in.Actions != nil {
			actions, err := l.c.actions(l.c.lb.listeners[r.listener].balancer, in.Actions)
			if err != nil {
				return nil, err
			}
			next.actions, next.credit = actions, map[string]int{}
		}
		if in.Conditions != nil {
			conditions, err := copiedConditions(in.Conditions)
			if err != nil {
				return nil, err
			}
			next.conditions = conditions
		}
		*r = next
		d, err := r.describe()
		return &elb.ModifyRuleOutput{Rules: []types.Rule{d}}, err
	})
}

// DeleteRule implements the SDK's method.
func (l LoadBalancing) DeleteRule(ctx ctx, in *elb.DeleteRuleInput, _ ...func(*elb.Options)) (*elb.DeleteRuleOutput, error) {
	return call(ctx, l.c, elbID, "DeleteRule", write, in, func(in *elb.DeleteRuleInput) (*elb.DeleteRuleOutput, error) {
		r := l.c.lb.rules[aws.ToString(in.RuleArn)]
		if r == nil {
			return nil, noRule(aws.ToString(in.RuleArn))
		}
		delete(l.c.lb.rules, r.arn)
		return &elb.DeleteRuleOutput{}, nil
	})
}
