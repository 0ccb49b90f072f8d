package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"godwit/internal/api"
	"godwit/internal/landscape"
	"godwit/internal/migrate"
	"godwit/internal/migrate/postgres"
)

// Down ends everything that the engine runs, then the engine. What would lose
// data or the only truth is refused.
func (e *Engine) Down(ctx context.Context, r api.DownRequest, sink api.Sink) (done struct{}, err error) {
	return done, e.operate(ctx, operation{name: "down", world: e.upOrRemains, apart: true,
		do: func(ctx context.Context, w *world, _ *migration, sink api.Sink) error {
			if err := e.mayGoDown(ctx, w, r.Approve); err != nil {
				return err
			}
			if err := e.endAll(ctx, w, r.Approve, sink); err != nil {
				return err
			}
			e.quit()
			return nil
		}}, sink)
}

// upOrRemains is the world that is up, or what is left of one.
func (e *Engine) upOrRemains(ctx context.Context, sink api.Sink) (*world, error) {
	if w, err := e.current(); err == nil {
		return w, nil
	}
	return e.remains(ctx, sink)
}

// remains is a world that declares nothing, over the site on which environments
// may have been left by an engine that could not be taken up.
func (e *Engine) remains(ctx context.Context, sink api.Sink) (*world, error) {
	w := &world{landscape: &landscape.Landscape{}}
	names, err := e.store.List(ctx, documentEnvironment)
	if err != nil || len(names) == 0 {
		return w, err
	}
	s, _, err := e.loadSettings(ctx)
	if err != nil {
		e.log.Warn("removing what is left without its settings", "error", err)
	}
	w.settings = s.complete()
	return w, e.openSite(ctx, w, sink)
}

func (e *Engine) mayGoDown(ctx context.Context, w *world, approve bool) error {
	states, err := e.migrationStates(ctx)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(states)) {
		if why := w.needs(name, states[name]); why != "" && !approve {
			return api.Fail(api.Refused, "%s", why)
		}
	}
	names, err := e.environmentNames(ctx, w)
	if err != nil {
		return err
	}
	for _, name := range names {
		m, err := e.remembered(ctx, name)
		if err != nil {
			return err
		}
		if m.Protected && !approve {
			return api.Fail(api.Refused, "environment %q is protected: %s; run again with --approve if that is meant", name, w.loses(ctx, name))
		}
	}
	return nil
}

// loses says what goes with an environment. Those of its databases count that are
// there, declared or not; where that is not known, data may be lost.
func (w *world) loses(ctx context.Context, environment string) string {
	ctx, cancel := context.WithTimeout(ctx, questionLimit)
	defer cancel()
	o, err := w.site.Observe(ctx, environment)
	if (err == nil || isNotFound(err)) && len(o.Databases) == 0 {
		return "it would be removed with all that runs in it"
	}
	return "its databases would be removed with their data"
}

// needs says what a migration would lose by down, "" when that is nothing. The
// landscape may be unknown.
func (w *world) needs(migration string, state migrationState) string {
	m, declared := w.landscape.Migration(migration)
	fronted := w.fronted()
	switch {
	case !declared && state.underWay():
		return fmt.Sprintf("migration %q is under way (%s), and what it made on the source could not be taken away now: godwit status says what keeps the engine from it, mend that and run godwit up; "+
			"or leave it there, and a source that is fenced fenced, with --approve", migration, state.Phase)
	case state.Truth != migrate.Target || !declared:
		return ""
	case fronted && state.Phase == phaseFinished:
		return "" // whoever made the environment keeps it
	case fronted:
		return fmt.Sprintf("environment %q holds the truth of migration %q, and the way back is open: run godwit migrate finish or rollback first; --approve finishes it. "+
			"The environment stays, but clients that come through this gateway no longer reach it", m.Environment, m.Name)
	case state.Phase == phaseFinished:
		return fmt.Sprintf("environment %q holds the truth of migration %q, which is finished: there is no way back, and down would delete it. Save its databases first (pg_dump)", m.Environment, m.Name)
	}
	return fmt.Sprintf("environment %q holds the truth of migration %q: run godwit migrate rollback first, or go on in the environment; down would delete it", m.Environment, m.Name)
}

// endAll ends migrations (so that the source keeps nothing of ours),
// environments, gateway, and forgets. An environment stays as long as a source
// could not be left: it is needed for that.
func (e *Engine) endAll(ctx context.Context, w *world, approve bool, sink api.Sink) error {
	for _, m := range w.landscape.Migrations {
		err := e.leaveSource(ctx, w, m.Name, sink)
		if approve && (errors.Is(err, postgres.ErrUnreachable) || errors.Is(err, postgres.ErrSource)) {
			sink.Event(api.Event{At: time.Now(), Scope: "migration " + m.Name, Step: "a database could not be left", State: "failed",
				Message: fmt.Sprintf("what godwit made there stays: godwit migrate by-hand, before this, says how to remove it; so does docs/landscape.md: %v", err)})
			continue
		}
		if err != nil {
			return fmt.Errorf("nothing was removed: %w; mend that and run godwit down again", err)
		}
	}
	if err := e.unknownSources(ctx, w, sink); err != nil {
		return err
	}
	var errs []error
	names, err := e.environmentNames(ctx, w)
	errs = append(errs, err)
	if w.fronted() {
		names = nil // whoever made them ends them
	}
	for _, name := range names {
		errs = append(errs, e.removeEnvironment(ctx, w, name, sink))
	}
	errs = append(errs, sink.Timed("gateway", "stop", func() error { return e.stopGateway(ctx) }))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("not everything ended; run godwit down again: %w", err)
	}
	e.setWorld(nil)
	e.healers.follow(nil, nil)
	if err := e.forget(ctx); err != nil {
		return err
	}
	return e.watch.End(ctx) // commands no longer expect an engine here
}

// leaveSource takes godwit's traces off the source of a migration.
func (e *Engine) leaveSource(ctx context.Context, w *world, name string, sink api.Sink) error {
	m, err := e.migration(ctx, w, name)
	if err != nil {
		return err
	}
	return m.leaves(ctx, sink)
}

// unknownSources says of which migrations the source keeps what godwit made
// there: nothing is known any more but that they were.
func (e *Engine) unknownSources(ctx context.Context, w *world, sink api.Sink) error {
	states, err := e.migrationStates(ctx)
	for name, state := range states {
		if _, declared := w.landscape.Migration(name); !declared && state.underWay() {
			sink.Event(api.Event{At: time.Now(), Scope: "migration " + name, Step: "the source is not known", State: "failed",
				Message: "what godwit made there stays: docs/landscape.md says how to remove it by hand"})
		}
	}
	return err
}

// forget removes what a new up must not find, and every value that the landscape
// took from the environment: settings, migrations, the table, runs, which were about
// what is gone and resumed later would do to new environments what was meant for the
// old. Images and the history of releases stay, without the values of variables.
func (e *Engine) forget(ctx context.Context) error {
	return e.store.Forget(ctx, documentMigration, documentEnvironment, documentSettings, documentLeftover)
}

// removeFile removes a file; it may be gone already.
func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
