package memory

import (
	"context"
	"fmt"

	"godwit/internal/fleet"
	"godwit/internal/site"
)

// life is how an environment as a whole is.
type life int

const (
	alive life = iota
	dead
	silent
)

var _ site.Reviver = (*Site)(nil)

// End ends an environment with all that is in it, as the death of its supervisor
// does.
func (s *Site) End(name string) { s.become(name, dead) }

// Silence makes an environment answer nobody, as a supervisor that was stopped.
func (s *Site) Silence(name string) { s.become(name, silent) }

func (s *Site) become(name string, l life) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.environments[name]; e != nil {
		e.life = l
		s.changed(e)
	}
}

// Pulse implements site.Reviver.
func (s *Site) Pulse(ctx context.Context, name string) error {
	limit, cancel := context.WithTimeout(ctx, site.PulseLimit)
	defer cancel()
	unlock, err := s.enter(limit, Call{Method: "Pulse", Environment: name})
	if err != nil && limit.Err() != nil && ctx.Err() == nil {
		return fmt.Errorf("environment %q: %w", name, site.ErrSilent)
	}
	if err != nil {
		return err
	}
	defer unlock()
	e := s.environments[name]
	switch {
	case e == nil:
		return fmt.Errorf("environment %q: %w", name, site.ErrNotFound)
	case e.life == dead:
		return fmt.Errorf("environment %q: %w", name, site.ErrDead)
	}
	return nil
}

// Revive implements site.Reviver. What is launched is ready at once.
func (s *Site) Revive(ctx context.Context, name string) error {
	unlock, err := s.enter(ctx, Call{Method: "Revive", Environment: name})
	if err != nil {
		return err
	}
	defer unlock()
	e := s.environments[name]
	if e == nil {
		return fmt.Errorf("environment %q: %w", name, site.ErrNotFound)
	}
	s.revive(e)
	return nil
}

func (s *Site) revive(e *environment) {
	if e.life == alive {
		return
	}
	e.life = alive
	for _, v := range e.services {
		for _, r := range v.releases {
			for i := range r.instances {
				r.instances[i] = s.instance(e, r.Release)
			}
		}
	}
	s.changed(e)
}

// answers waits as long as the environment of a call is silent, and fails where it
// is dead; the site is locked, and locked again after it.
func (s *Site) answers(ctx context.Context, call Call) error {
	for {
		e := s.environments[call.Environment]
		switch {
		case e == nil || e.life == alive:
			return nil
		case e.life == dead && call.Service != "":
			return fmt.Errorf("%s: %w", call, site.ErrDead)
		case e.life == dead || call.Method == "Revive":
			return nil
		}
		moved := s.moved
		s.mu.Unlock()
		select {
		case <-moved:
			s.mu.Lock()
		case <-ctx.Done():
			s.mu.Lock()
			return ctx.Err()
		}
	}
}

// mortal is what is observed of an environment that has died.
func (e *environment) mortal(out site.Environment) site.Environment {
	if e.life != dead {
		return out
	}
	for i := range out.Databases {
		out.Databases[i].Ready, out.Databases[i].Reason = false, "its environment has died"
	}
	for _, f := range out.Fleets {
		for i := range f.Instances {
			f.Instances[i].State, f.Instances[i].Reason = fleet.Dead, "its environment has died"
		}
	}
	return out
}
