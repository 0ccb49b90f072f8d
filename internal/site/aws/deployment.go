package aws

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"godwit/internal/fleet"
	"godwit/internal/site"
	"godwit/internal/site/aws/convention"
)

// deployment is a service in an environment as AWS describes it now.
type deployment struct {
	scope   convention.Scope
	service string
	places  []*place // blue and green
	rules   []rule   // that forward to them
}

// place is where one release of a service lives.
type place struct {
	group
	targetGroups []targetGroup
	weight       int
}

func (v *deployment) String() string { return v.scope.Environment + "/" + v.service }

// deployment reads a service. ErrNotFound when it is not there.
func (s *Site) deployment(ctx context.Context, environment, service string) (*deployment, error) {
	scope := s.scope(environment)
	all, err := s.groupsOf(ctx, scope, service)
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		if _, err := s.vpc(ctx, scope); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("service %s in environment %s is not on AWS: declare it, then `godwit aws apply --env %s`: %w",
			service, environment, environment, site.ErrNotFound)
	}
	v, err := s.assemble(ctx, scope, service, all)
	if err != nil {
		return nil, err
	}
	if v.gone() {
		return nil, fmt.Errorf("service %s in environment %s was withdrawn, nothing of it is left: %w", service, environment, site.ErrNotFound)
	}
	return v, nil
}

// assemble adds target groups and weights to the groups of a service.
func (s *Site) assemble(ctx context.Context, scope convention.Scope, service string, groups []group) (*deployment, error) {
	v := &deployment{scope: scope, service: service}
	var arns []string
	for _, c := range convention.Colours {
		for _, g := range groups {
			if g.colour == c {
				v.places = append(v.places, &place{group: g})
				arns = append(arns, g.targetGroups...)
			}
		}
	}
	if len(v.places) != len(convention.Colours) {
		return nil, fmt.Errorf("of service %s there is %d of the Auto Scaling groups %s and %s, half of it was applied: run `godwit aws apply --env %s`",
			v, len(v.places), scope.Group(service, convention.Blue), scope.Group(service, convention.Green), scope.Environment)
	}
	all, err := s.targetGroups(ctx, scope, service, arns)
	if err != nil {
		return nil, err
	}
	if v.rules, err = s.rules(ctx, all); err != nil {
		return nil, err
	}
	for _, p := range v.places {
		for _, g := range all {
			if slices.Contains(p.group.targetGroups, g.arn) {
				g.colour = p.colour // what it is attached to counts
				p.targetGroups = append(p.targetGroups, g)
			}
		}
	}
	weights := weighed(v.rules, v.targetGroups())
	for _, p := range v.places {
		if p.weight = weights[p.colour]; len(all) == 0 {
			p.weight = p.group.weight
		}
	}
	return v, nil
}

// holding is the place of a release; nil when there is none.
func (v *deployment) holding(release int) *place {
	for _, p := range v.places {
		if release > 0 && p.release == release {
			return p
		}
	}
	return nil
}

// serving is the size of the greatest place that has weight.
func (v *deployment) serving() int {
	n := 0
	for _, p := range v.places {
		if p.weight > 0 && p.release > 0 {
			n = max(n, p.size)
		}
	}
	return n
}

func (v *deployment) targetGroups() []targetGroup {
	var all []targetGroup
	for _, p := range v.places {
		all = append(all, p.targetGroups...)
	}
	return all
}

func (v *deployment) withdrawn() bool { return v.places[0].withdrawn || v.places[1].withdrawn }

// gone: it is neither declared nor is a release of it left.
func (v *deployment) gone() bool {
	return v.withdrawn() && v.places[0].release == 0 && v.places[1].release == 0
}

// weights are those of releases: a place without one sends requests to nobody.
func (v *deployment) weights() fleet.Weights {
	out := fleet.Weights{}
	for _, p := range v.places {
		if p.release > 0 && p.weight > 0 {
			out[p.release] = p.weight
		}
	}
	return out
}

// suffix is the part of an ARN that says what it is: "app/bistro-test-public/50dc6c495c0c9188".
func suffix(arn string) string {
	_, name, ok := strings.Cut(arn, "loadbalancer/")
	if ok {
		return name
	}
	if i := strings.Index(arn, "targetgroup/"); i >= 0 {
		return arn[i:]
	}
	if i := strings.LastIndex(arn, ":"); i >= 0 {
		return arn[i+1:]
	}
	return arn
}
