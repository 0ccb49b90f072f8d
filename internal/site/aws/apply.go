package aws

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"godwit/internal/landscape"
	"godwit/internal/site"
	"godwit/internal/site/aws/convention"
)

// Apply implements site.Site: the provisioner makes the environment, then all
// that rollouts need of it is looked for. Which services are declared is written
// onto the groups of those that are not.
func (s *Site) Apply(ctx context.Context, l *landscape.Landscape, environment string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if _, ok := l.Environment(environment); !ok {
		return fmt.Errorf("environment %q in landscape %q: %w", environment, l.Name, site.ErrNotFound)
	}
	if name := s.declared().Name; l.Name != name {
		return fmt.Errorf("landscape %q on the site of landscape %q: %w", l.Name, name, site.ErrInvalid)
	}
	if s.options.Provisioner == nil {
		return fmt.Errorf("this site was opened without Terraform: run `godwit aws apply --env %s`: %w", environment, site.ErrUnsupported)
	}
	if err := s.options.Provisioner.Apply(ctx, l, environment); err != nil {
		return fmt.Errorf("applying environment %s: %w", environment, err)
	}
	s.mu.Lock()
	s.landscape = l
	s.mu.Unlock()
	return s.verify(ctx, l, environment)
}

// verify finds all that Terraform should have made for rollouts.
func (s *Site) verify(ctx context.Context, l *landscape.Landscape, environment string) error {
	scope := s.scope(environment)
	if _, err := s.vpc(ctx, scope); err != nil {
		return err
	}
	there, err := s.services(ctx, scope)
	if err != nil {
		return err
	}
	for _, d := range l.Services {
		v, err := s.assemble(ctx, scope, d.Name, there[d.Name])
		if err != nil {
			return err
		}
		if _, err := s.template(ctx, scope, d.Name); err != nil {
			return err
		}
		if err := v.complete(l); err != nil {
			return err
		}
		if err := s.rested(ctx, v); err != nil {
			return err
		}
		if err := s.align(ctx, v); err != nil {
			return err
		}
	}
	return s.mark(ctx, l, there)
}

// Align gives rules that Terraform has added the weights that rollouts have set
// in the others: it writes every rule for blue, where nobody may be any more. It
// belongs after each apply of Terraform, and repeats safely.
func (s *Site) Align(ctx context.Context, environment string) error {
	scope := s.scope(environment)
	there, err := s.services(ctx, scope)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(there)) {
		v, err := s.assemble(ctx, scope, name, there[name])
		if err != nil {
			return err
		}
		if err := s.align(ctx, v); err != nil {
			return err
		}
	}
	return nil
}

// align leaves alone what holds no release that serves, and what holds two: a
// rollout is at it, and sets all rules itself.
func (s *Site) align(ctx context.Context, v *deployment) error {
	var serving *place
	for _, p := range v.places {
		switch {
		case p.release == 0:
		case serving != nil:
			return nil
		default:
			serving = p
		}
	}
	if serving == nil || len(v.rules) == 0 {
		return nil
	}
	weight := cmp.Or(serving.weight, serving.group.weight) // its first load balancer was just made for blue
	if weight == 0 {
		return nil
	}
	return s.reweigh(ctx, v, map[convention.Colour]int{serving.colour: weight})
}

// complete says which target group of a service is missing.
func (v *deployment) complete(l *landscape.Landscape) error {
	faces := []convention.Face{}
	if slices.ContainsFunc(l.Ingresses, func(in landscape.Ingress) bool { return in.Service == v.service }) {
		faces = append(faces, convention.Public)
	}
	if slices.ContainsFunc(l.Services, func(s landscape.Service) bool {
		return slices.Contains(s.Needs, landscape.Ref{Kind: "service", Name: v.service})
	}) {
		faces = append(faces, convention.Internal)
	}
	for _, face := range faces {
		for _, p := range v.places {
			if !slices.ContainsFunc(p.targetGroups, func(g targetGroup) bool { return g.face == face }) {
				return fmt.Errorf("Auto Scaling group %s has no target group %s, half of it was applied: run `godwit aws apply --env %s` again",
					p.name, v.scope.TargetGroup(v.service, face, p.colour), v.scope.Environment)
			}
		}
	}
	if len(v.targetGroups()) > 0 && len(v.rules) == 0 {
		return fmt.Errorf("no rule of a load balancer forwards to the target groups of %s, half of it was applied: run `godwit aws apply --env %s` again",
			v, v.scope.Environment)
	}
	return nil
}

// rested sees to it that nothing launches instances in a place that holds no
// release: a peak would.
func (s *Site) rested(ctx context.Context, v *deployment) error {
	for _, p := range v.places {
		if p.release == 0 {
			if err := s.suspend(ctx, p.group, paused()...); err != nil {
				return err
			}
		}
	}
	return nil
}

// mark writes onto the groups of a service whether it is withdrawn.
func (s *Site) mark(ctx context.Context, l *landscape.Landscape, there map[string][]group) error {
	for _, name := range slices.Sorted(maps.Keys(there)) {
		_, declared := l.Service(name)
		for _, g := range there[name] {
			var err error
			switch {
			case declared && g.withdrawn:
				err = s.untag(ctx, g, convention.TagWithdrawn)
			case !declared && !g.withdrawn:
				err = s.tag(ctx, g, map[string]string{convention.TagWithdrawn: "true"})
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// Withdrawing are the services that a landscape does not declare and that still
// hold a release in an environment. A provisioner leaves alone what is theirs.
func (s *Site) Withdrawing(ctx context.Context, l *landscape.Landscape, environment string) ([]string, error) {
	there, err := s.services(ctx, s.scope(environment))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, name := range slices.Sorted(maps.Keys(there)) {
		_, declared := l.Service(name)
		if !declared && slices.ContainsFunc(there[name], func(g group) bool { return g.release > 0 }) {
			names = append(names, name)
		}
	}
	return names, nil
}

// Remove implements site.Site.
func (s *Site) Remove(ctx context.Context, environment string) error {
	if _, declared := s.declared().Environment(environment); !declared {
		if _, err := s.vpc(ctx, s.scope(environment)); err != nil {
			if errors.Is(err, site.ErrNotFound) {
				return nil
			}
			return err
		}
	}
	if s.options.Provisioner == nil {
		return fmt.Errorf("this site was opened without Terraform: run `godwit aws destroy %s`: %w", environment, site.ErrUnsupported)
	}
	if err := s.options.Provisioner.Remove(ctx, environment); err != nil {
		return fmt.Errorf("removing environment %s: %w", environment, err)
	}
	return nil
}
