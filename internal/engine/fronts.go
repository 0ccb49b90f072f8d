package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"godwit/internal/api"
	"godwit/internal/fleet"
	"godwit/internal/gateway"
	"godwit/internal/landscape"
	"godwit/internal/plan"
	"godwit/internal/site"
)

// On a site with fronts of its own (site.Fronted), environments and releases are
// made without the engine. It stands in the data centre: its gateway takes the
// clients' requests, and its migrations turn them and the databases.

// fronts are those of the world's site; false when the engine makes environments.
func (w *world) fronts() (site.Fronted, bool) {
	f, ok := w.site.(site.Fronted)
	return f, ok
}

// fronted: environments and releases are made without the engine.
func (w *world) fronted() bool {
	_, ok := w.fronts()
	return ok
}

// upFronts takes the traffic of the landscape's migrations.
func (e *Engine) upFronts(ctx context.Context, w *world, sink api.Sink) (api.UpResult, error) {
	if len(w.landscape.Migrations) == 0 {
		return api.UpResult{}, api.Fail(api.Usage, "the landscape declares no migration, and on this site up does nothing else: environments are made by godwit aws apply, releases by godwit aws deploy")
	}
	if err := e.migrationsStay(ctx, w, plan.Plan{}); err != nil {
		return api.UpResult{}, err
	}
	if err := e.sameAccount(ctx, w); err != nil {
		return api.UpResult{}, err
	}
	for _, m := range w.landscape.Migrations {
		_, absent, err := e.frontPools(ctx, w, m)
		if err != nil {
			return api.UpResult{}, err
		}
		for _, f := range absent {
			sink.Note("migration "+m.Name, "not there yet", f.Summary)
		}
	}
	if err := e.enter(ctx, w, sink); err != nil {
		return api.UpResult{}, err
	}
	routes, err := e.adopt(ctx, w)
	return api.UpResult{Gateway: w.settings.Listen, Routes: routes}, err
}

// sameAccount remembers whose the environments are, and refuses another's: there
// may be one of the same name, with other databases.
func (e *Engine) sameAccount(ctx context.Context, w *world) error {
	fronts, ok := w.fronts()
	if !ok {
		return nil
	}
	return e.asking(ctx, w, "the account", func(ctx context.Context) error {
		account, err := fronts.Account(ctx)
		if err != nil {
			return err
		}
		if before := w.settings.Account; before != "" && before != account {
			return api.Fail(api.Refused, "these credentials are of account %s, and the environments of this engine are in account %s: set AWS_PROFILE to one of that, or use another state directory with --state", account, before)
		}
		w.settings.Account = account
		return nil
	})
}

// frontPools are where an environment serves what a migration moves, and what is
// not there yet. Without fronts of the site's own there are none.
func (e *Engine) frontPools(ctx context.Context, w *world, m landscape.Migration) (pools map[string]gateway.Pool, absent landscape.Findings, err error) {
	fronts, ok := w.fronts()
	if !ok {
		return nil, nil, nil
	}
	err = e.asking(ctx, w, "the fronts of "+m.Environment, func(ctx context.Context) (err error) {
		pools, absent, err = w.found(ctx, fronts, m)
		return err
	})
	return pools, absent, err
}

// found asks for one front after the other.
func (w *world) found(ctx context.Context, fronts site.Fronted, m landscape.Migration) (map[string]gateway.Pool, landscape.Findings, error) {
	pools, absent := map[string]gateway.Pool{}, landscape.Findings{}
	for _, service := range w.moved(m) {
		front, err := fronts.Front(ctx, m.Environment, service)
		if errors.Is(err, site.ErrNotFound) {
			absent = append(absent, landscape.Finding{Severity: landscape.Error,
				Summary: fmt.Sprintf("service %s of %s has nothing that takes requests: %v", service, m.Environment, err),
				Mend:    "make the environment with godwit aws apply"})
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		pools[poolName(m.Environment, service)] = gateway.Pool{
			Endpoints: []gateway.Endpoint{{ID: "front-" + service, Address: front.Address, TLS: front.TLS}},
			Weights:   fleet.Weights{0: 1},
		}
	}
	return pools, absent, nil
}

// moved are the services of a migration that requests from outside reach.
func (w *world) moved(m landscape.Migration) []string {
	src, _ := w.landscape.Source(m.Source)
	var names []string
	for _, s := range src.Services {
		if slices.ContainsFunc(w.landscape.Ingresses, func(in landscape.Ingress) bool { return in.Service == s.Name }) {
			names = append(names, s.Name)
		}
	}
	return names
}

// setFronts makes the environment's side known to the gateway.
func (m *migration) setFronts(ctx context.Context) error {
	pools, _, err := m.engine.frontPools(ctx, m.world, m.Migration)
	if err != nil {
		return err
	}
	for name, pool := range pools {
		if err := m.engine.gateway.SetPool(ctx, name, pool); err != nil {
			return err
		}
	}
	return nil
}

// frontsServing asks the environment's services for their health, through their
// fronts and as clients do.
func (e *Engine) frontsServing(ctx context.Context, w *world, m landscape.Migration) (landscape.Findings, error) {
	pools, found, err := e.frontPools(ctx, w, m)
	if err != nil {
		return nil, err
	}
	for _, service := range w.moved(m) {
		pool, there := pools[poolName(m.Environment, service)]
		if !there {
			continue
		}
		declared, _ := w.landscape.Service(service)
		for _, host := range w.hosts(m.Environment, service) {
			if err := healthyFront(ctx, pool.Endpoints[0], host, declared.Health.Path, e.roots); err != nil {
				found = append(found, landscape.Finding{Severity: landscape.Error,
					Summary: fmt.Sprintf("service %s does not answer from here at %s: %v", service, pool.Endpoints[0].Address, err),
					Mend:    "godwit aws status says whether it serves; a firewall may keep this machine from it"})
			}
		}
	}
	return found, nil
}

// frontsChecked says before the day what a cutover would refuse for. Until rows
// are there a service may rightly not be well: that is a warning.
func (m *migration) frontsChecked(ctx context.Context) (landscape.Findings, error) {
	if !m.world.fronted() {
		return nil, nil
	}
	found, err := m.engine.frontsServing(ctx, m.world, m.Migration)
	for i := range found {
		if m.state.Phase == phaseAdopted {
			found[i].Severity = landscape.Warning
		}
	}
	return found, err
}

// hosts are those by which clients ask for a service.
func (w *world) hosts(environment, service string) []string {
	var hosts []string
	for _, in := range w.landscape.Ingresses {
		if in.Service == service {
			hosts = append(hosts, landscape.IngressHost(w.landscape, in, environment))
		}
	}
	return hosts
}

// elsewhere refuses what only a site can be asked for whose environments the
// engine makes.
func (w *world) elsewhere(instead string) error {
	if !w.fronted() {
		return nil
	}
	return api.Fail(api.Usage, "on this site the engine makes neither environments nor releases: %s", instead)
}

// watched are the environments that the engine looks at: where it makes none,
// those that a migration moves into.
func (w *world) watched() []string {
	fronted := w.fronted()
	var names []string
	for _, env := range w.landscape.Environments {
		if !fronted || slices.ContainsFunc(w.landscape.Migrations, func(m landscape.Migration) bool { return m.Environment == env.Name }) {
			names = append(names, env.Name)
		}
	}
	return names
}

// foreign: a pool that nobody has declared, and no site keeps.
func (w *world) foreign(pool string) bool {
	return w.fronted() || strings.HasPrefix(pool, sourcePools)
}
