package aws

import (
	"context"
	"fmt"
	"slices"
	"strings"

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
	open := ""
	err = s.wait(ctx, func() (bool, error) {
		open = ""
		for _, g := range p.targetGroups {
			left, err := s.letGo(ctx, g)
			if err != nil {
				return false, err
			}
			if len(left) > 0 {
				open = fmt.Sprintf("%s has requests in flight with %s", g.name, strings.Join(left, ", "))
			}
		}
		return open == "", nil
	})
	if err != nil && open != "" {
		err = fmt.Errorf("%s: %w", open, err)
	}
	return err
}

// letGo deregisters whatever a target group still sends requests to, and says
// which of its targets are not gone. That one is seen to drain is not waited for:
// what AWS says may be from before it was let go.
func (s *Site) letGo(ctx context.Context, g targetGroup) (left []string, err error) {
	targets, err := s.targets(ctx, g)
	if err != nil {
		return nil, err
	}
	var registered []string
	for id, t := range targets {
		left = append(left, id)
		if !t.draining() {
			registered = append(registered, id)
		}
	}
	slices.Sort(left)
	return left, s.deregister(ctx, g, registered)
}

// Retire implements site.Site: the group is emptied, each instance ends when the
// drain hook lets it, and one that never got ready at once.
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
		if err != nil {
			return false, err
		}
		left = len(g.members)
		return left == 0, s.abandon(ctx, g)
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
