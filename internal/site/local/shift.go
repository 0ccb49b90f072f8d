package local

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"golang.org/x/sync/errgroup"

	"godwit/internal/fleet"
	"godwit/internal/gateway"
	"godwit/internal/site"
	"godwit/internal/site/local/warden"
)

// Shift implements site.Site.
func (s *Site) Shift(ctx context.Context, environment, service string, weights fleet.Weights) error {
	r, unlock, err := s.locked(ctx, environment)
	if err != nil {
		return err
	}
	defer unlock()
	v, err := r.service(service)
	if err != nil {
		return err
	}
	all, err := s.client(environment).Instances(ctx)
	if err != nil {
		return err
	}
	if err := r.checkWeights(service, v.Undeclared, weights, all); err != nil {
		return err
	}
	v.Weights = maps.Clone(weights)
	maps.DeleteFunc(v.Weights, func(_, w int) bool { return w == 0 })
	if err := s.save(r); err != nil {
		return err
	}
	return s.publish(ctx, r, service)
}

func (r *record) checkWeights(service string, mayWithdraw bool, weights fleet.Weights, all []warden.Status) error {
	total := 0
	for number, w := range weights {
		ready := slices.ContainsFunc(all, func(i warden.Status) bool {
			have := r.Instances[i.ID]
			return i.Ready && have != nil && have.Service == service && have.Release == number
		})
		if w < 0 || w > 0 && !ready {
			return fmt.Errorf("weight %d for release %d of %s/%s, which has no ready instance: %w", w, number, r.Name, service, site.ErrInvalid)
		}
		total += w
	}
	if total == 0 && !mayWithdraw {
		return fmt.Errorf("no release of %s/%s has weight: %w", r.Name, service, site.ErrInvalid)
	}
	return nil
}

// Drain implements site.Site.
func (s *Site) Drain(ctx context.Context, environment, service string, release int) error {
	r, err := s.load(environment)
	if err != nil {
		return err
	}
	v, err := r.service(service)
	if err != nil {
		return err
	}
	if v.Weights[release] > 0 {
		return fmt.Errorf("draining release %d of %s/%s, which has weight: %w", release, environment, service, site.ErrInvalid)
	}
	err = s.Gateway.WaitIdle(ctx, pool(environment, service), release)
	if errors.Is(err, gateway.ErrNotFound) {
		return nil // it never had traffic
	}
	return err
}

// Retire implements site.Site.
func (s *Site) Retire(ctx context.Context, environment, service string, release int) error {
	r, unlock, err := s.locked(ctx, environment)
	if err != nil {
		return err
	}
	defer unlock()
	v, err := r.service(service)
	if err != nil {
		return err
	}
	if v.Weights[release] > 0 {
		return fmt.Errorf("retiring release %d of %s/%s, which has weight: %w", release, environment, service, site.ErrInvalid)
	}
	ids := r.instancesOf(service, release)
	if len(ids) == 0 && v.Releases[release] == nil {
		return nil
	}
	// They leave the pool first: nobody is sent to what is ending. The record
	// keeps them until they have ended, for whoever repeats this call.
	if err := s.publish(ctx, r.without(ids), service); err != nil {
		return err
	}
	if err := s.removeInstances(ctx, environment, ids); err != nil {
		return err
	}
	left := r.without(ids)
	delete(v.Releases, release)
	if v.gone() {
		if err := s.forget(ctx, left, service); err != nil {
			return err
		}
	}
	return s.save(left)
}

// gone: it is neither declared nor is anything of it left.
func (v *serviceRecord) gone() bool { return v.Undeclared && len(v.Releases) == 0 }

// forget takes a service that is gone out of record, rules and gateway.
func (s *Site) forget(ctx context.Context, r *record, service string) error {
	delete(r.Services, service)
	if err := s.client(r.Name).ApplyRules(ctx, r.rules()); err != nil {
		return fmt.Errorf("environment %s: %w", r.Name, err)
	}
	return s.removePool(ctx, pool(r.Name, service))
}

func (s *Site) removeInstances(ctx context.Context, environment string, ids []string) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, id := range ids {
		group.Go(func() error {
			err := s.client(environment).Remove(ctx, id)
			if errors.Is(err, warden.ErrNotRunning) {
				return nil // ended with its warden
			}
			return err
		})
	}
	return group.Wait()
}

// without is the record as it is when instances are gone.
func (r *record) without(ids []string) *record {
	left := *r
	left.Instances = maps.Clone(r.Instances)
	for _, id := range ids {
		delete(left.Instances, id)
	}
	return &left
}
