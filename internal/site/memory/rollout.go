package memory

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"godwit/internal/fleet"
	"godwit/internal/site"
)

// Launch implements site.Site. Instances are ready at once, or never.
func (s *Site) Launch(ctx context.Context, r fleet.Release) error {
	unlock, err := s.enter(ctx, Call{"Launch", r.Environment, r.Service, r.Number})
	if err != nil {
		return err
	}
	defer unlock()
	e, v, err := s.find(r.Environment, r.Service)
	if err != nil {
		return err
	}
	if r.Number < 1 || r.Count < 1 {
		return fmt.Errorf("release %d with %d instances: %w", r.Number, r.Count, site.ErrInvalid)
	}
	have := v.releases[r.Number]
	if have == nil {
		have = &release{}
		v.releases[r.Number] = have
	}
	have.Release = r
	for have.living() < r.Count {
		have.instances = append(have.instances, s.instance(e, r))
	}
	s.changed(e)
	if have.ready() < r.Count {
		return fmt.Errorf("release %d of %s/%s: %w", r.Number, r.Environment, r.Service, site.ErrUnready)
	}
	return nil
}

// living counts the instances that serve or will.
func (r *release) living() int {
	return r.count(fleet.Ready) + r.count(fleet.Starting)
}

func (r *release) ready() int { return r.count(fleet.Ready) }

func (r *release) count(state fleet.State) int {
	n := 0
	for _, i := range r.instances {
		if i.State == state {
			n++
		}
	}
	return n
}

// Shift implements site.Site.
func (s *Site) Shift(ctx context.Context, environment, name string, weights fleet.Weights) error {
	unlock, err := s.enter(ctx, Call{Method: "Shift", Environment: environment, Service: name})
	if err != nil {
		return err
	}
	defer unlock()
	e, v, err := s.find(environment, name)
	if err != nil {
		return err
	}
	total := 0
	for number, w := range weights {
		if w < 0 || w > 0 && (v.releases[number] == nil || v.releases[number].ready() == 0) {
			return fmt.Errorf("weight %d for release %d of %s/%s, which has no ready instance: %w", w, number, environment, name, site.ErrInvalid)
		}
		total += w
	}
	if total == 0 && v.declared {
		return fmt.Errorf("no release of %s/%s has weight: %w", environment, name, site.ErrInvalid)
	}
	v.weights = fleet.Weights{}
	maps.Copy(v.weights, weights)
	s.changed(e)
	return nil
}

// Drain implements site.Site.
func (s *Site) Drain(ctx context.Context, environment, name string, number int) error {
	unlock, err := s.enter(ctx, Call{"Drain", environment, name, number})
	if err != nil {
		return err
	}
	defer func() { unlock() }()
	for {
		e, v, err := s.find(environment, name)
		if err != nil {
			return err
		}
		if v.weights[number] > 0 {
			return fmt.Errorf("draining release %d of %s/%s, which has weight: %w", number, environment, name, site.ErrInvalid)
		}
		r := v.releases[number]
		if r == nil || r.drained(func() { s.changed(e) }) {
			return nil
		}
		moved := s.moved
		unlock()
		select {
		case <-moved:
		case <-ctx.Done():
			unlock = func() {}
			return ctx.Err()
		}
		s.mu.Lock()
	}
}

// drained marks the instances as draining and says whether nothing is in flight.
func (r *release) drained(changed func()) bool {
	for i := range r.instances {
		if r.instances[i].State == fleet.Ready {
			r.instances[i].State = fleet.Draining
			changed()
		}
	}
	return r.inFlight == 0
}

// Retire implements site.Site.
func (s *Site) Retire(ctx context.Context, environment, name string, number int) error {
	unlock, err := s.enter(ctx, Call{"Retire", environment, name, number})
	if err != nil {
		return err
	}
	defer unlock()
	e, v, err := s.find(environment, name)
	if err != nil {
		return err
	}
	if v.weights[number] > 0 {
		return fmt.Errorf("retiring release %d of %s/%s, which has weight: %w", number, environment, name, site.ErrInvalid)
	}
	delete(v.releases, number)
	delete(v.weights, number)
	e.forget(name)
	s.changed(e)
	return nil
}

// Kill ends the instances of a release behind the site's back, as a crash of
// the program would; they stay, dead, until retired.
func (s *Site) Kill(environment, name string, number int, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, v, err := s.find(environment, name)
	if err != nil || v.releases[number] == nil {
		return
	}
	for i := range v.releases[number].instances {
		instance := &v.releases[number].instances[i]
		instance.State, instance.Reason = fleet.Dead, reason
	}
	s.changed(e)
}

// SetTraffic replaces what a release is said to have served.
func (s *Site) SetTraffic(environment, name string, number int, t fleet.Traffic) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, v, err := s.find(environment, name); err == nil && v.releases[number] != nil {
		t.Latency = slices.Clone(t.Latency)
		v.releases[number].traffic = t
	}
}
