package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"godwit/internal/api"
	"godwit/internal/fleet"
	"godwit/internal/plan"
	"godwit/internal/site"
)

// carryOut carries a plan out. What is no longer declared ends last: by then
// nothing that is declared needs it, and no route leads to it.
func (e *Engine) carryOut(ctx context.Context, w *world, p plan.Plan, images map[string]string, sink api.Sink) ([]api.Route, error) {
	if err := e.removeReplaced(ctx, w, p, sink); err != nil {
		return nil, err
	}
	if err := e.rememberBefore(ctx, w); err != nil {
		return nil, err
	}
	if err := e.adoptSources(ctx, w); err != nil {
		return nil, err
	}
	if err := e.makeEnvironments(ctx, w, p, images, sink); err != nil {
		return nil, err
	}
	routes, err := e.adopt(ctx, w)
	if err != nil {
		return nil, err
	}
	if err := e.removeUndeclared(ctx, w, sink); err != nil {
		return nil, err
	}
	for _, k := range slices.Concat(p.Kept, p.Waits) {
		sink.Note(k.Environment, string(k.Kind)+" "+k.Name, k.Reason)
	}
	return routes, e.rememberAfter(ctx, w)
}

// makeEnvironments makes environments side by side, in each its services in the
// order of their needs. What fails in one is no reason to leave another half-made.
func (e *Engine) makeEnvironments(ctx context.Context, w *world, p plan.Plan, images map[string]string, sink api.Sink) error {
	failures := make([]error, len(w.landscape.Environments))
	var all sync.WaitGroup
	for i, env := range w.landscape.Environments {
		all.Go(func() { failures[i] = e.makeEnvironment(ctx, w, env.Name, p, images, sink) })
	}
	all.Wait()
	return errors.Join(failures...)
}

func (e *Engine) makeEnvironment(ctx context.Context, w *world, name string, p plan.Plan, images map[string]string, sink api.Sink) error {
	err := sink.Timed(name, "network, databases, edges", func() error { return e.healed(w).Apply(ctx, w.landscape, name) })
	if err != nil {
		return fmt.Errorf("environment %s: %w", name, err)
	}
	return e.rolloutAll(ctx, w, name, p, images, sink)
}

// rolloutAll rolls out what changed in one environment, in the plan's order.
func (e *Engine) rolloutAll(ctx context.Context, w *world, environment string, p plan.Plan, images map[string]string, sink api.Sink) error {
	for _, c := range p.Changes {
		if c.Environment != environment || c.Kind != plan.Service || c.Action == plan.Remove {
			continue
		}
		s, err := w.service(c.Name)
		if err != nil {
			return err
		}
		r, err := e.rollout(ctx, w, environment, s, images[s.Name], sink)
		switch {
		case err != nil:
			return fmt.Errorf("%s/%s: %w", environment, s.Name, err)
		case r.Outcome == api.RolloutRefused:
			return api.Fail(api.Refused, "release %d of %s/%s was refused: %s", r.To, environment, s.Name, r.Reason)
		case !r.Fine():
			return api.Fail(api.Failed, "rollout of %s/%s is %s: %s", environment, s.Name, r.Outcome, r.Reason)
		}
	}
	return nil
}

// removeReplaced ends the environments that are made anew.
func (e *Engine) removeReplaced(ctx context.Context, w *world, p plan.Plan, sink api.Sink) error {
	for _, c := range p.Changes {
		if c.Kind != plan.Environment || c.Action != plan.Replace {
			continue
		}
		if err := e.removeEnvironment(ctx, w, c.Name, sink); err != nil {
			return err
		}
	}
	return nil
}

// removeUndeclared ends the services, then the environments, that are there and
// not declared, whichever up has left them.
func (e *Engine) removeUndeclared(ctx context.Context, w *world, sink api.Sink) error {
	names, err := e.environmentNames(ctx, w)
	if err != nil {
		return err
	}
	observed, err := e.observe(ctx, w, names)
	if err != nil {
		return err
	}
	services, each := errgroup.WithContext(ctx)
	for _, env := range observed {
		for _, f := range env.Fleets {
			if !w.declares(env.Name, f.Service) {
				services.Go(func() error { return e.removeService(each, w, f, sink) })
			}
		}
	}
	if err := services.Wait(); err != nil {
		return err
	}
	for _, name := range names {
		if _, declared := w.landscape.Environment(name); declared {
			continue
		}
		if err := e.removeEnvironment(ctx, w, name, sink); err != nil {
			return err
		}
	}
	return nil
}

// declares reports whether a service stays. In an environment that goes as a
// whole nothing has to be ended one by one.
func (w *world) declares(environment, service string) bool {
	_, stays := w.landscape.Environment(environment)
	_, declared := w.landscape.Service(service)
	return declared || !stays
}

// drainPatience is how long requests in flight may take when a service ends.
const drainPatience = 30 * time.Second

// removeService ends a service: nobody is sent to it, what is in flight ends,
// then its instances do.
func (e *Engine) removeService(ctx context.Context, w *world, f fleet.Fleet, sink api.Sink) error {
	name := poolName(f.Environment, f.Service)
	s := e.healed(w)
	err := sink.Timed(name, "remove", func() error {
		if err := s.Shift(ctx, f.Environment, f.Service, nil); err != nil {
			return err
		}
		for _, r := range f.Releases {
			if err := drain(ctx, s, r); err != nil {
				return err
			}
			if err := s.Retire(ctx, f.Environment, f.Service, r.Number); err != nil && !isNotFound(err) {
				return err
			}
		}
		return nil
	})
	if err != nil && !isNotFound(err) {
		return fmt.Errorf("remove service %s: %w; run godwit up again to go on", name, err)
	}
	return nil
}

// drain waits for what is in flight, but not for ever: what is still open then
// ends with its instance.
func drain(ctx context.Context, s site.Site, r fleet.Release) error {
	patience, cancel := context.WithTimeout(ctx, drainPatience)
	defer cancel()
	err := s.Drain(patience, r.Environment, r.Service, r.Number)
	if errors.Is(patience.Err(), context.DeadlineExceeded) && ctx.Err() == nil || isNotFound(err) {
		return nil
	}
	return err
}

// removeEnvironment ends one environment and forgets it.
func (e *Engine) removeEnvironment(ctx context.Context, w *world, name string, sink api.Sink) error {
	err := sink.Timed(name, "remove", func() error { return w.site.Remove(ctx, name) })
	if err != nil {
		return fmt.Errorf("environment %s: %w", name, err)
	}
	return e.store.Delete(ctx, documentEnvironment, name)
}

// environmentNames are the environments that are declared or were once made.
func (e *Engine) environmentNames(ctx context.Context, w *world) ([]string, error) {
	names, err := e.store.List(ctx, documentEnvironment)
	if err != nil {
		return nil, err
	}
	for _, env := range w.landscape.Environments {
		if !slices.Contains(names, env.Name) {
			names = append(names, env.Name)
		}
	}
	return names, nil
}
