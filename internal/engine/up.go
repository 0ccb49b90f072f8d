package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"godwit/internal/api"
	"godwit/internal/landscape"
	"godwit/internal/plan"
	"godwit/internal/site"
)

// Up makes what runs like what is declared. Everything in it is idempotent: a
// second up after a crash goes on where the first was killed.
func (e *Engine) Up(ctx context.Context, r api.UpRequest, sink api.Sink) (api.UpResult, error) {
	var none api.UpResult
	end, err := e.begin("up")
	if err != nil {
		return none, err
	}
	defer end()
	w, err := e.prepare(ctx, r, sink)
	if err != nil {
		return none, err
	}
	images, err := e.makeImages(ctx, w, w.landscape.Services, sink)
	if err != nil {
		return none, err
	}
	have, err := e.have(ctx, w)
	if err != nil {
		return none, err
	}
	p := plan.Compute(w.landscape, images, have)
	if err := approved(p, r.Approve); err != nil {
		return none, err
	}
	if err := e.apply(ctx, w, p, images, sink); err != nil {
		return none, err
	}
	routes, err := e.adopt(ctx, w)
	if err != nil {
		return none, err
	}
	return api.UpResult{Plan: p, Gateway: w.settings.Listen, Routes: routes}, nil
}

// prepare reads the landscape, opens the site and starts the gateway.
func (e *Engine) prepare(ctx context.Context, r api.UpRequest, sink api.Sink) (*world, error) {
	l, err := parse(r.Landscape)
	if err != nil {
		return nil, err
	}
	s, err := e.mergeSettings(ctx, l, r)
	if err != nil {
		return nil, err
	}
	if err := s.bind(l); err != nil {
		return nil, err
	}
	old, _ := e.current()
	w := &world{landscape: l, settings: s}
	if old != nil {
		w.site = old.site
	} else if w.site, err = e.openSite(ctx, s, sink); err != nil {
		return nil, err
	}
	if w.site.Abilities().Isolation == "none" {
		sink.Event(api.Event{At: time.Now(), Scope: "site", Step: "NO ISOLATION", State: "failed",
			Message: "instances are plain processes of this user: every one can reach every other, this machine and the whole network"})
	}
	if err := e.saveSettings(ctx, s); err != nil {
		return nil, err
	}
	e.setWorld(w)
	return w, timed(sink, "gateway", "serves on "+s.Listen, func() error { return e.ensureGateway(ctx, s.Listen) })
}

// mergeSettings keeps what was chosen the first time.
func (e *Engine) mergeSettings(ctx context.Context, l *landscape.Landscape, r api.UpRequest) (settings, error) {
	s, found, err := e.loadSettings(ctx)
	if err != nil {
		return s, err
	}
	if found {
		before, err := parse(s.Landscape)
		switch {
		case err == nil && before.Name != l.Name:
			return s, api.Fail(api.Refused, "this engine runs landscape %q, not %q: choose another state directory with --state, or run godwit down first", before.Name, l.Name)
		case r.Isolation != "" && r.Isolation != s.Isolation:
			return s, api.Fail(api.Refused, "isolation is %q here and cannot change while it runs: godwit down first", s.Isolation)
		case r.Listen != "" && r.Listen != s.Listen:
			return s, api.Fail(api.Refused, "the gateway listens on %s here and cannot move while it runs: godwit down first", s.Listen)
		}
	}
	values := maps.Clone(s.Landscape.Env)
	if values == nil {
		values = map[string]string{}
	}
	maps.Copy(values, r.Landscape.Env) // a variable that is no longer exported keeps its last value
	s.Landscape = r.Landscape
	s.Landscape.Env = values
	s.Listen = first(s.Listen, r.Listen, defaultListen)
	s.Isolation = first(s.Isolation, r.Isolation, defaultIsolation)
	return s, nil
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// approved refuses what a protected environment does not allow without a word.
func approved(p plan.Plan, approve bool) error {
	if approve {
		return nil
	}
	for _, c := range p.Protected() {
		return api.Fail(api.Refused, "%s %s %q in protected environment %q: %s; run again with --approve if that is meant",
			c.Action, c.Kind, c.Name, c.Environment, c.Reason)
	}
	return nil
}

// apply carries a plan out: environments side by side, in each its services in
// the order of their needs.
func (e *Engine) apply(ctx context.Context, w *world, p plan.Plan, images map[string]string, sink api.Sink) error {
	if err := e.removeEnvironments(ctx, w, p, sink); err != nil {
		return err
	}
	environments, ctx := errgroup.WithContext(ctx)
	for _, env := range w.landscape.Environments {
		environments.Go(func() error {
			if err := e.store.Put(ctx, documentEnvironment, env.Name, env.Network.String()); err != nil {
				return err
			}
			err := timed(sink, env.Name, "network, databases, edges", func() error { return w.site.Apply(ctx, w.landscape, env.Name) })
			if err != nil {
				return fmt.Errorf("environment %s: %w", env.Name, err)
			}
			return e.rolloutAll(ctx, w, env.Name, p, images, sink)
		})
	}
	return environments.Wait()
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
		case r.Outcome == outcomeRefused:
			return api.Fail(api.Refused, "release %d of %s/%s was refused: %s", r.To, environment, s.Name, r.Reason)
		case r.Outcome != outcomeDone && r.Outcome != outcomeUnchanged:
			return api.Fail(api.Failed, "rollout of %s/%s is %s: %s", environment, s.Name, r.Outcome, r.Reason)
		}
	}
	return nil
}

// removeEnvironments ends what is no longer declared.
func (e *Engine) removeEnvironments(ctx context.Context, w *world, p plan.Plan, sink api.Sink) error {
	for _, c := range p.Changes {
		if c.Kind != plan.Environment || (c.Action != plan.Remove && c.Action != plan.Replace) {
			continue
		}
		if err := e.removeEnvironment(ctx, w, c.Name, sink); err != nil {
			return err
		}
	}
	return nil
}

// removeEnvironment ends one environment and forgets it.
func (e *Engine) removeEnvironment(ctx context.Context, w *world, name string, sink api.Sink) error {
	err := timed(sink, name, "remove", func() error { return w.site.Remove(ctx, name) })
	if err != nil {
		return fmt.Errorf("environment %s: %w", name, err)
	}
	return e.store.Delete(ctx, documentEnvironment, name)
}

// have observes every environment, declared now or known from before.
func (e *Engine) have(ctx context.Context, w *world) (plan.Have, error) {
	names, err := e.environmentNames(ctx, w)
	if err != nil {
		return plan.Have{}, err
	}
	observed, err := e.observe(ctx, w, names)
	if err != nil {
		return plan.Have{}, err
	}
	var have plan.Have
	routed := e.gatewayStatus(ctx, w).Routes
	for _, o := range observed {
		declared, _ := w.landscape.Environment(o.Name)
		env := plan.HaveEnvironment{Name: o.Name, Network: o.Network, Protected: declared.Protected, Fleets: o.Fleets}
		for _, d := range o.Databases {
			env.Databases = append(env.Databases, d.Name)
		}
		env.Ingresses = routedIngresses(w.landscape, o.Name, routed)
		have.Environments = append(have.Environments, env)
	}
	return have, nil
}

// routedIngresses are the declared ingresses whose host the gateway routes.
func routedIngresses(l *landscape.Landscape, environment string, routed []api.Route) []plan.HaveIngress {
	var have []plan.HaveIngress
	for _, in := range l.Ingresses {
		host := landscape.IngressHost(l, in, environment)
		if slices.ContainsFunc(routed, func(r api.Route) bool { return r.Host == host }) {
			have = append(have, plan.HaveIngress{Name: in.Name, Host: host, Service: in.Service})
		}
	}
	return have
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

// observe looks at environments side by side; those that are not there are left out.
func (e *Engine) observe(ctx context.Context, w *world, names []string) ([]site.Environment, error) {
	var mu sync.Mutex
	found := map[string]site.Environment{}
	g, ctx := errgroup.WithContext(ctx)
	for _, name := range names {
		g.Go(func() error {
			o, err := w.site.Observe(ctx, name)
			if isNotFound(err) {
				return nil
			}
			if err != nil {
				return fmt.Errorf("observe %s: %w", name, err)
			}
			mu.Lock()
			defer mu.Unlock()
			found[name] = o
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	var ordered []site.Environment
	for _, name := range names {
		if o, ok := found[name]; ok {
			ordered = append(ordered, o)
		}
	}
	return ordered, nil
}

// Plan says what Up would change.
func (e *Engine) Plan(ctx context.Context, in api.Landscape, sink api.Sink) (plan.Plan, error) {
	l, err := parse(in)
	if err != nil {
		return plan.Plan{}, err
	}
	w, err := e.current()
	if err != nil {
		return plan.Compute(l, nil, plan.Have{}), nil
	}
	next := &world{landscape: l, settings: settings{Landscape: in}, site: w.site}
	if err := next.settings.bind(l); err != nil {
		return plan.Plan{}, err
	}
	images, err := e.makeImages(ctx, next, l.Services, sink)
	if err != nil {
		return plan.Plan{}, err
	}
	have, err := e.have(ctx, next)
	if err != nil {
		return plan.Plan{}, err
	}
	return plan.Compute(l, images, have), nil
}
