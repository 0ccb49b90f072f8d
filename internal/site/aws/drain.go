package aws

import (
	"context"
	"fmt"

	"godwit/internal/site"
	"godwit/internal/site/aws/convention"
)

// Drain implements site.Site: the load balancers let go of the instances, and
// say when no request is in flight. Launch takes them back.
func (s *Site) Drain(ctx context.Context, environment, service string, release int) error {
	v, err := s.deployment(ctx, environment, service)
	if err != nil {
		return err
	}
	p, err := v.idle("draining", release)
	if err != nil || p == nil {
		return err
	}
	// Auto Scaling would take an instance without a load balancer for ill.
	if err := s.freeze(ctx, p); err != nil {
		return err
	}
	for _, g := range p.targetGroups {
		if err := s.letGo(ctx, g); err != nil {
			return err
		}
	}
	open := ""
	err = s.wait(ctx, func() (bool, error) {
		open = ""
		h, err := s.health(ctx, p)
		for name, targets := range h {
			for id, t := range targets {
				if t.draining() {
					open = fmt.Sprintf("%s has requests in flight with %s", name, id)
				}
			}
		}
		return open == "", err
	})
	if err != nil && open != "" {
		err = fmt.Errorf("%s: %w", open, err)
	}
	return err
}

// letGo deregisters whatever a target group still sends requests to.
func (s *Site) letGo(ctx context.Context, g targetGroup) error {
	targets, err := s.targets(ctx, g)
	if err != nil {
		return err
	}
	var ids []string
	for id, t := range targets {
		if !t.draining() {
			ids = append(ids, id)
		}
	}
	return s.deregister(ctx, g, ids)
}

// Retire implements site.Site: the group is emptied, each instance ends when the
// drain hook lets it.
func (s *Site) Retire(ctx context.Context, environment, service string, release int) error {
	v, err := s.deployment(ctx, environment, service)
	if err != nil {
		return err
	}
	p, err := v.idle("retiring", release)
	if err != nil || p == nil {
		return err
	}
	if err := s.suspend(ctx, p.group, paused()...); err != nil {
		return err
	}
	if err := s.resize(ctx, p.group, 0, 0, 0); err != nil {
		return err
	}
	left := len(p.members)
	err = s.wait(ctx, func() (bool, error) {
		g, err := s.group(ctx, p.name)
		if err == nil {
			left = len(g.members)
		}
		return left == 0, err
	})
	if err != nil {
		return fmt.Errorf("release %d of %s still has %d instances, which are being ended: %w", release, v, left, err)
	}
	if err := s.untag(ctx, p.group, convention.TagRelease, convention.TagSince, convention.TagWeight); err != nil {
		return err
	}
	return s.wait(ctx, func() (bool, error) { // tags are gone a moment later
		g, err := s.group(ctx, p.name)
		return g.release == 0, err
	})
}

// idle is the place of a release without weight; nil when it is in none.
func (v *deployment) idle(doing string, release int) (*place, error) {
	p := v.holding(release)
	if p != nil && p.weight > 0 {
		return nil, fmt.Errorf("%s release %d of %s, which has weight %d: shift away from it first: %w", doing, release, v, p.weight, site.ErrInvalid)
	}
	return p, nil
}
