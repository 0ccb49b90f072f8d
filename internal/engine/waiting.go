package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"godwit/internal/api"
	"godwit/internal/landscape"
	"godwit/internal/plan"
)

// waits are the services that wait for the data of a migration, by environment and
// name: against an empty database they would make a schema of their own, and the copy
// would find it taken. From sync on they run, beside a database that refuses writes.
type waits map[string]map[string]string

// of is the migration whose data a service waits for; "" when it does not wait.
func (w waits) of(environment, service string) string { return w[environment][service] }

func waitsFor(environment, migration string) string {
	return fmt.Sprintf("services of %s wait for the data of migration %s: godwit migrate sync brings it, and starts them", environment, migration)
}

// waiting finds them. Where environments are made without the engine, it starts none.
func (e *Engine) waiting(ctx context.Context, w *world) (waits, error) {
	all := waits{}
	if w.fronted() {
		return all, nil
	}
	for _, declared := range w.landscape.Migrations {
		m, err := e.migration(ctx, w, declared.Name)
		if err != nil {
			return nil, err
		}
		if m.state.Phase != phaseAdopted && m.state.Phase != phaseSyncing {
			continue
		}
		if all[m.Environment] == nil {
			all[m.Environment] = map[string]string{}
		}
		for _, service := range landscape.Dependents(w.landscape, databaseNames(w.landscape, m.Source)) {
			all[m.Environment][service] = m.Name
		}
	}
	return all, nil
}

// withhold takes what waits out of a plan, and says so there.
func (e *Engine) withhold(ctx context.Context, w *world, p plan.Plan) (plan.Plan, error) {
	waits, err := e.waiting(ctx, w)
	if err != nil {
		return p, err
	}
	p.Changes = slices.DeleteFunc(p.Changes, func(c plan.Change) bool {
		migration := waits.of(c.Environment, c.Name)
		if c.Kind != plan.Service || c.Action != plan.Create || migration == "" {
			return false
		}
		p.Waits = append(p.Waits, plan.Kept{Kind: c.Kind, Environment: c.Environment, Name: c.Name, Reason: waitsFor(c.Environment, migration)})
		return true
	})
	return p, nil
}

// startWaiting rolls out, in the order of their needs, what has waited for the data of
// a migration that is there now.
func (m *migration) startWaiting(ctx context.Context, sink api.Sink) error {
	e, w := m.engine, m.world
	if w.fronted() {
		return nil
	}
	services := landscape.Dependents(w.landscape, databaseNames(w.landscape, m.Source))
	declared := slices.DeleteFunc(slices.Clone(w.landscape.Services), func(s landscape.Service) bool { return !slices.Contains(services, s.Name) })
	images, err := e.makeImages(ctx, w, declared, sink)
	if err != nil {
		return err
	}
	p, err := e.compareIn(ctx, w, images, []string{m.Environment})
	if err != nil {
		return err
	}
	return e.rolloutAll(ctx, w, m.Environment, p, images, sink)
}

// withdraw ends the services whose data is about to be removed, if they hold no truth.
// What cannot be ended keeps nobody from removing it.
func (m *migration) withdraw(ctx context.Context, sink api.Sink) {
	e, w := m.engine, m.world
	if w.fronted() {
		return
	}
	for _, r := range m.links.readers {
		if follows, err := r.Follows(ctx); err != nil || !follows {
			return
		}
	}
	o, err := e.ask(ctx, w, m.Environment)
	services := landscape.Dependents(w.landscape, databaseNames(w.landscape, m.Source))
	for _, f := range o.Fleets {
		if slices.Contains(services, f.Service) && len(f.Releases) > 0 {
			err = errors.Join(err, e.removeService(ctx, w, f, sink))
		}
	}
	if err != nil && !isNotFound(err) {
		sink.Note(m.scope(), "services", fmt.Sprintf("were not all ended: %v", err))
	}
}
