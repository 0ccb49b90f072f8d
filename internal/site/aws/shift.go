package aws

import (
	"context"
	"fmt"
	"strconv"

	"godwit/internal/fleet"
	"godwit/internal/site"
	"godwit/internal/site/aws/convention"
)

// Shift implements site.Site: capacity first, then weight, then who scales.
//
// A rule changes at once. Several rules (the public listener's and that of the
// service's own load balancer) change one after the other; when that is cut
// short the error says so, both places count as having weight, and the same call
// completes it.
func (s *Site) Shift(ctx context.Context, environment, service string, weights fleet.Weights) error {
	v, err := s.deployment(ctx, environment, service)
	if err != nil {
		return err
	}
	wanted, err := v.byPlace(weights)
	if err != nil {
		return err
	}
	if err := s.reinforce(ctx, v, wanted); err != nil {
		return err
	}
	if err := s.reweigh(ctx, v, wanted); err != nil {
		return err
	}
	return s.settle(ctx, v, wanted)
}

// reinforce sees to it that a place can bear the share of requests that it is to
// get: in proportion it has as many instances as the place that serves most now.
// A place that is that great already is not waited for: a shift back must not
// wait for one instance out of many.
func (s *Site) reinforce(ctx context.Context, v *deployment, wanted map[convention.Colour]int) error {
	total := 0
	for _, w := range wanted {
		total += w
	}
	for _, p := range v.places {
		w := wanted[p.colour]
		if w == 0 {
			continue
		}
		h, err := s.health(ctx, p)
		if err != nil {
			return err
		}
		ready := h.ready(p.group)
		if ready == 0 {
			return fmt.Errorf("weight for release %d of %s, which has no ready instance (%s): %w", p.release, v, h.wrong(p.group), site.ErrInvalid)
		}
		need := (v.serving()*w + total - 1) / total
		if p.size < need {
			if err := s.resize(ctx, p.group, need, need, max(p.max, need)); err != nil {
				return err
			}
			p.size = need
		}
		if ready < need {
			if err := s.awaitCapacity(ctx, v, p, need); err != nil {
				return err
			}
		}
	}
	return nil
}

// awaitCapacity waits until enough instances are ready, or until none is on its
// way any more. One that its launch hook held before is not: it may never answer.
func (s *Site) awaitCapacity(ctx context.Context, v *deployment, p *place, need int) error {
	ready, late := 0, map[string]bool{}
	for _, m := range p.members {
		late[m.id] = m.held()
	}
	err := s.wait(ctx, func() (bool, error) {
		g, err := s.group(ctx, p.name)
		if err != nil {
			return false, err
		}
		h, err := s.health(ctx, p)
		if err != nil {
			return false, err
		}
		p.group, ready = keepColour(g, p.group), h.ready(g)
		coming := len(g.members) < g.size
		for _, m := range g.members {
			coming = coming || !h.settled(m) && !(m.held() && late[m.id])
		}
		return ready >= need || !coming, nil
	})
	if err != nil {
		return fmt.Errorf("release %d of %s needs %d instances to take its share, %d are ready; nothing was shifted: %w", p.release, v, need, ready, err)
	}
	return nil
}

// keepColour keeps what a group is by its name.
func keepColour(g, before group) group {
	g.service, g.colour = before.service, before.colour
	return g
}

// reweigh sets the weights of the places wherever requests come from.
func (s *Site) reweigh(ctx context.Context, v *deployment, wanted map[convention.Colour]int) error {
	if err := s.forwardBy(ctx, v, wanted); err != nil {
		return err
	}
	return s.keepWeights(ctx, v, wanted)
}

// forwardBy sets the weights in all rules that lead to a service.
func (s *Site) forwardBy(ctx context.Context, v *deployment, wanted map[convention.Colour]int) error {
	groups := v.targetGroups()
	if len(groups) == 0 {
		return nil
	}
	if len(v.rules) == 0 {
		return fmt.Errorf("no rule of a load balancer forwards to the target groups of %s, half of it was applied: run `godwit aws apply --env %s`: %w",
			v, v.scope.Environment, site.ErrInvalid)
	}
	done := 0
	for i, r := range v.rules {
		actions, changed := reweigh(r.actions, groups, wanted)
		if !changed {
			continue
		}
		if err := s.forward(ctx, r, actions); err != nil {
			if done > 0 {
				err = fmt.Errorf("%w (%d of %d rules are changed already, the others are as before: call again to complete it)", err, i, len(v.rules))
			}
			return err
		}
		v.rules[i].actions = actions
		done++
	}
	return nil
}

// keepWeights writes the weights of a service onto its groups. They say which
// release serves where no load balancer stands before it, and where its first one
// was just made, or its last one is gone. Where rules forward to it, these count.
func (s *Site) keepWeights(ctx context.Context, v *deployment, wanted map[convention.Colour]int) error {
	for _, p := range v.places {
		if p.group.weight == wanted[p.colour] {
			continue
		}
		if err := s.tag(ctx, p.group, map[string]string{convention.TagWeight: strconv.Itoa(wanted[p.colour])}); err != nil {
			return err
		}
	}
	return nil
}

// settle lets the place that has all weight scale as the landscape says, and has
// those without weight stay as they are.
func (s *Site) settle(ctx context.Context, v *deployment, wanted map[convention.Colour]int) error {
	with := 0
	for _, w := range wanted {
		with += of(w > 0)
	}
	for _, p := range v.places {
		var err error
		switch {
		case wanted[p.colour] > 0 && with == 1:
			err = s.scale(ctx, v, p)
		case wanted[p.colour] == 0 && p.release > 0:
			err = s.freeze(ctx, p)
		}
		if err != nil {
			return fmt.Errorf("the weights of %s are set; %w (call again to complete it)", v, err)
		}
	}
	return nil
}

// scale lets a place scale. Its least is that of the moment: a peak that is on
// would set it again only the next time.
func (s *Site) scale(ctx context.Context, v *deployment, p *place) error {
	now, err := s.group(ctx, p.name)
	if err != nil {
		return err
	}
	declared, _ := s.declared().Service(v.service)
	low := least(declared.Scale, s.options.Now())
	if low == 0 {
		low = min(now.size, max(now.min, 1)) // it is not declared any more
	}
	size := max(now.size, low)
	if err := s.resize(ctx, now, low, size, max(declared.Scale.Max, size, p.size)); err != nil {
		return err
	}
	return s.resume(ctx, now, paused()...)
}

// freeze has a place keep its size, whatever happens.
func (s *Site) freeze(ctx context.Context, p *place) error {
	if err := s.suspend(ctx, p.group, paused()...); err != nil {
		return err
	}
	now, err := s.group(ctx, p.name)
	if err != nil {
		return err
	}
	return s.resize(ctx, now, now.size, now.size, now.size)
}
