package aws

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"godwit/internal/site/aws/convention"
)

// targetGroup is where a load balancer finds the instances of a place.
type targetGroup struct {
	arn, name     string
	face          convention.Face
	colour        convention.Colour
	loadBalancers []string
}

// target is an instance as a load balancer sees it.
type target struct {
	id     string
	port   int32
	state  types.TargetHealthStateEnum
	reason string
}

// targetGroups are those with the given ARNs. Face and colour are told by the
// names that they must have.
func (s *Site) targetGroups(ctx context.Context, scope convention.Scope, service string, arns []string) ([]targetGroup, error) {
	if len(arns) == 0 {
		return nil, nil
	}
	var all []targetGroup
	err := pages(func(token *string) (*string, error) {
		out, err := s.clients.LoadBalancing.DescribeTargetGroups(ctx, &elb.DescribeTargetGroupsInput{TargetGroupArns: arns, Marker: token})
		if err != nil {
			return nil, explain("looking for the target groups of "+service, err)
		}
		for _, g := range out.TargetGroups {
			t := targetGroup{arn: aws.ToString(g.TargetGroupArn), name: aws.ToString(g.TargetGroupName), loadBalancers: g.LoadBalancerArns}
			t.readName(scope, service)
			all = append(all, t)
		}
		return out.NextMarker, nil
	})
	slices.SortFunc(all, func(a, b targetGroup) int { return strings.Compare(a.name, b.name) })
	return all, err
}

func (g *targetGroup) readName(scope convention.Scope, service string) {
	for _, f := range []convention.Face{convention.Public, convention.Internal} {
		for _, c := range convention.Colours {
			if g.name == scope.TargetGroup(service, f, c) {
				g.face, g.colour = f, c
			}
		}
	}
}

// targets are the instances that are registered, or still draining, by id.
func (s *Site) targets(ctx context.Context, g targetGroup) (map[string]target, error) {
	out, err := s.clients.LoadBalancing.DescribeTargetHealth(ctx, &elb.DescribeTargetHealthInput{TargetGroupArn: &g.arn})
	if err != nil {
		return nil, explain("asking for the health of "+g.name, err)
	}
	all := map[string]target{}
	for _, d := range out.TargetHealthDescriptions {
		t := target{id: aws.ToString(d.Target.Id), port: aws.ToInt32(d.Target.Port)}
		if h := d.TargetHealth; h != nil {
			t.state, t.reason = h.State, explainHealth(h)
		}
		all[t.id] = t
	}
	return all, nil
}

func explainHealth(h *types.TargetHealth) string {
	text := aws.ToString(h.Description)
	if text == "" {
		text = string(h.Reason)
	}
	return text
}

// draining: it gets no new requests, and may have some in flight.
func (t target) draining() bool {
	return t.state == types.TargetHealthStateEnumDraining || t.state == types.TargetHealthStateEnumUnhealthyDraining
}

func (s *Site) register(ctx context.Context, g targetGroup, id string) error {
	_, err := s.clients.LoadBalancing.RegisterTargets(ctx, &elb.RegisterTargetsInput{TargetGroupArn: &g.arn, Targets: descriptions([]string{id})})
	return explain(fmt.Sprintf("registering %s with %s", id, g.name), err)
}

func (s *Site) deregister(ctx context.Context, g targetGroup, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	_, err := s.clients.LoadBalancing.DeregisterTargets(ctx, &elb.DeregisterTargetsInput{TargetGroupArn: &g.arn, Targets: descriptions(ids)})
	return explain(fmt.Sprintf("deregistering %s from %s", strings.Join(ids, ", "), g.name), err)
}

func descriptions(ids []string) []types.TargetDescription {
	var all []types.TargetDescription
	for _, id := range ids {
		all = append(all, types.TargetDescription{Id: aws.String(id)})
	}
	return all
}
