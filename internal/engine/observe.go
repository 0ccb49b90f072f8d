package engine

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"godwit/internal/api"
	"godwit/internal/landscape"
	"godwit/internal/plan"
	"godwit/internal/site"
)

// documentEnvironment is the kind of the documents that remember environments.
const documentEnvironment = "environment"

// remembered is what the store keeps of an environment from before it is made until
// it is removed, declared or not: what neither site nor gateway can tell.
type remembered struct {
	Protected bool               `json:"protected"`
	Ingresses []plan.HaveIngress `json:"ingresses"` // hosts that may be routed
}

func (e *Engine) remembered(ctx context.Context, environment string) (remembered, error) {
	var m remembered
	_, err := e.store.Get(ctx, documentEnvironment, environment, &m)
	return m, err
}

// rememberBefore writes down every declared environment, and the hosts that will
// be routed beside those that are.
func (e *Engine) rememberBefore(ctx context.Context, w *world) error {
	for _, env := range w.landscape.Environments {
		m, err := e.remembered(ctx, env.Name)
		if err != nil {
			return err
		}
		for _, in := range ingresses(w.landscape, env.Name) {
			if !slices.Contains(m.Ingresses, in) {
				m.Ingresses = append(m.Ingresses, in)
			}
		}
		m.Protected = m.Protected || env.Protected
		if err := e.store.Put(ctx, documentEnvironment, env.Name, m); err != nil {
			return err
		}
	}
	return nil
}

// rememberAfter writes down what is left when everything was carried out.
func (e *Engine) rememberAfter(ctx context.Context, w *world) error {
	for _, env := range w.landscape.Environments {
		m := remembered{Protected: env.Protected, Ingresses: ingresses(w.landscape, env.Name)}
		if err := e.store.Put(ctx, documentEnvironment, env.Name, m); err != nil {
			return err
		}
	}
	return nil
}

// ingresses are those of one environment as declared.
func ingresses(l *landscape.Landscape, environment string) []plan.HaveIngress {
	var all []plan.HaveIngress
	for _, in := range l.Ingresses {
		all = append(all, plan.HaveIngress{Name: in.Name, Host: landscape.IngressHost(l, in, environment), Service: in.Service})
	}
	return all
}

// compare plans what must change so that what runs is what w declares.
func (e *Engine) compare(ctx context.Context, w *world, images map[string]string) (plan.Plan, error) {
	names, err := e.environmentNames(ctx, w)
	if err != nil {
		return plan.Plan{}, err
	}
	return e.compareIn(ctx, w, images, names)
}

// compareIn is compare where only these environments count.
func (e *Engine) compareIn(ctx context.Context, w *world, images map[string]string, names []string) (plan.Plan, error) {
	observed, err := e.observe(ctx, w, names)
	if err != nil {
		return plan.Plan{}, err
	}
	var have plan.Have
	routed := e.gatewayStatus(ctx, w).Routes
	for _, o := range observed {
		m, err := e.remembered(ctx, o.Name)
		if err != nil {
			return plan.Plan{}, err
		}
		env := plan.HaveEnvironment{Name: o.Name, Network: o.Network, Protected: m.Protected, Fleets: o.Fleets, Edges: o.Edges,
			Ingresses: m.routed(routed, ingresses(w.landscape, o.Name))}
		for _, d := range o.Databases {
			env.Databases = append(env.Databases, d.Name)
		}
		have.Environments = append(have.Environments, env)
	}
	return e.withhold(ctx, w, plan.Compute(w.landscape, images, have))
}

// routed are the remembered ingresses that the gateway answers for, one of each
// name: when a killed up has left two, the one that is not as declared counts.
func (m remembered) routed(routes []api.Route, declared []plan.HaveIngress) []plan.HaveIngress {
	byName := map[string]plan.HaveIngress{}
	for _, in := range m.Ingresses {
		answered := slices.ContainsFunc(routes, func(r api.Route) bool { return r.Host == in.Host })
		if _, found := byName[in.Name]; answered && (!found || !slices.Contains(declared, in)) {
			byName[in.Name] = in
		}
	}
	var all []plan.HaveIngress
	for _, in := range byName {
		all = append(all, in)
	}
	return all
}

// observeLimit bounds looking at one environment, which may have to be brought
// back first.
const observeLimit = 30 * time.Second

// observe looks at environments side by side, for whoever must know all of them;
// those that are not there are left out.
func (e *Engine) observe(ctx context.Context, w *world, names []string) ([]site.Environment, error) {
	var mu sync.Mutex
	found := map[string]site.Environment{}
	g, ctx := errgroup.WithContext(ctx)
	for _, name := range names {
		g.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, observeLimit)
			defer cancel()
			o, err := e.healed(w).Observe(ctx, name)
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
