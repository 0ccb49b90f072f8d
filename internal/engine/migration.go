package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"godwit/internal/api"
	"godwit/internal/journal"
	"godwit/internal/landscape"
	"godwit/internal/migrate"
	"godwit/internal/migrate/postgres"
)

// Check says what stands against a migration, of all its databases at once. It
// changes nothing: a relay that was opened only to look is closed again.
func (e *Engine) Check(ctx context.Context, name string, sink api.Sink) (api.Checks, error) {
	var checks api.Checks
	err := e.withBridges(ctx, "check", name, sink, e.bridgesThere, func(w *world, m landscape.Migration, b *bridges, sink api.Sink) (err error) {
		if checks.Findings, err = b.check(ctx); err != nil {
			return err
		}
		for _, why := range b.missing {
			checks.Findings = append(checks.Findings, migrate.Unasked(why))
		}
		services, err := e.serving(ctx, w, m, migrate.Source)
		if err != nil {
			return err
		}
		checks.Findings = append(checks.Findings, services...)
		state, err := e.migrationState(ctx, w, name)
		if err != nil {
			return err
		}
		fronts, err := e.frontsChecked(ctx, w, m, state)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil { // what is known of the databases is said nevertheless
			fronts = append(fronts, migrate.Unasked(err))
		}
		checks.Findings = append(checks.Findings, fronts...)
		e.secrets.concealFindings(checks.Findings)
		checks.Go = !checks.Findings.HasErrors()
		if state.Phase == phaseAdopted {
			err = w.closeRelays(ctx, m)
		}
		return err
	})
	return checks, err
}

// Sync copies schema and data and keeps them in step. What stands against it is
// said before anything is changed.
func (e *Engine) Sync(ctx context.Context, name string, sink api.Sink) (api.Migration, error) {
	err := e.onMigration(ctx, "sync", name, sink, func(w *world, m landscape.Migration, b *bridges, sink api.Sink) error {
		state, err := e.migrationState(ctx, w, name)
		if err != nil {
			return err
		}
		if state.Truth == migrate.Target {
			return api.Fail(api.Usage, "the environment holds the truth already (%s): there is nothing to sync from the source", state.Phase)
		}
		findings, err := b.check(ctx)
		if err != nil {
			return err
		}
		if e.secrets.concealFindings(findings); findings.HasErrors() {
			return &api.Failure{Code: api.Usage, Message: "the migration has findings", Findings: findings}
		}
		if err := e.changeMigration(ctx, w, name, func(s *migrationState) { s.Phase = phaseSyncing }); err != nil {
			return err
		}
		scope := "migration " + name
		run := journal.Run{ID: runID(migrate.KindSync, name), Kind: migrate.KindSync, Subject: name, Payload: migrate.Plan{Migration: name}.Payload()}
		if _, err := e.journal.Run(ctx, run, migrate.SyncSteps(b.list, syncProgress(sink, scope)), sink.Steps(scope)); err != nil {
			return fmt.Errorf("%w; the source goes on as before: mend it and run sync again, or godwit migrate abort", err)
		}
		return e.changeMigration(ctx, w, name, func(s *migrationState) { s.Phase = phaseSynced })
	})
	if err != nil {
		return api.Migration{}, err
	}
	return e.MigrationStatus(ctx, name)
}

func syncProgress(sink api.Sink, scope string) func(postgres.Progress) {
	return func(p postgres.Progress) {
		sink.Event(api.Event{At: time.Now(), Scope: scope, Step: "database " + p.Database, State: "note", Message: describeProgress(p)})
	}
}

func describeProgress(p postgres.Progress) string {
	text := p.Stage
	if p.Tables > 0 {
		text += fmt.Sprintf(": %d of %d tables copied", p.Copied, p.Tables)
	}
	for _, t := range p.Current {
		text += fmt.Sprintf(", %s at %d rows", t.Table, t.Rows)
	}
	if p.LagBytes > 0 {
		text += fmt.Sprintf(", %d bytes behind", p.LagBytes)
	}
	return text
}

// Verify compares every table of both sides.
func (e *Engine) Verify(ctx context.Context, name string, sink api.Sink) (api.Verification, error) {
	v := api.Verification{Equal: true}
	err := e.onMigration(ctx, "verify", name, sink, func(_ *world, _ landscape.Migration, b *bridges, sink api.Sink) error {
		all, err := migrate.Verify(ctx, b.list, func(p postgres.Verification) {
			sink.Event(api.Event{At: time.Now(), Scope: "migration " + name, Step: "verify " + p.Database, State: "note",
				Message: fmt.Sprintf("%d rows compared", p.Rows)})
		})
		for _, d := range all {
			v.Tables, v.Rows, v.Chunks = v.Tables+d.Tables, v.Rows+d.Rows, v.Chunks+d.Chunks
			for _, differ := range d.Differing {
				v.Differing = append(v.Differing, fmt.Sprintf("%s: %s above %q up to %q: %d rows", d.Database, differ.Table, differ.From, differ.To, len(differ.Rows)))
			}
			for _, sequence := range d.Behind {
				v.Differing = append(v.Differing, fmt.Sprintf("%s: sequence %s is behind", d.Database, sequence))
			}
		}
		v.Equal = len(v.Differing) == 0
		return err
	})
	return v, err
}

// Finish removes the way back.
func (e *Engine) Finish(ctx context.Context, name string, sink api.Sink) (api.Migration, error) {
	err := e.onMigration(ctx, "finish", name, sink, func(w *world, m landscape.Migration, b *bridges, sink api.Sink) error {
		state, err := e.migrationState(ctx, w, name)
		if err != nil {
			return err
		}
		if state.Truth != migrate.Target {
			return api.Fail(api.Usage, "the source holds the truth: cut over first, or give up with godwit migrate abort")
		}
		return sink.Timed("migration "+name, "finish", func() error {
			// Its way back is gone once it is finished: not before both sides say so.
			if err := e.finish(ctx, w, m, b); err != nil {
				return fmt.Errorf("%w; mend that and run godwit migrate finish again", err)
			}
			return nil
		})
	})
	if err != nil {
		return api.Migration{}, err
	}
	return e.MigrationStatus(ctx, name)
}

// Abort removes everything of a migration from both sides.
func (e *Engine) Abort(ctx context.Context, name string, sink api.Sink) (api.Migration, error) {
	err := e.withBridges(ctx, "abort", name, sink, e.lastBridges, func(w *world, m landscape.Migration, b *bridges, sink api.Sink) error {
		state, err := e.migrationState(ctx, w, name)
		if err != nil {
			return err
		}
		if state.Truth != migrate.Source {
			return api.Fail(api.Refused, "the environment holds the truth: run godwit migrate rollback first, or keep it with godwit migrate finish")
		}
		err = sink.Timed("migration "+name, "abort", func() error { return e.abort(ctx, w, m, b) })
		if errors.Is(err, postgres.ErrUnreachable) {
			err = fmt.Errorf("%w; run godwit migrate abort again when both sides answer, or, if the environment is gone for good, godwit down --approve", err)
		}
		return err
	})
	if err != nil {
		return api.Migration{}, err
	}
	return e.MigrationStatus(ctx, name)
}

// finish keeps the relays open until both sides are done with them.
func (e *Engine) finish(ctx context.Context, w *world, m landscape.Migration, b *bridges) error {
	if err := migrate.Finish(ctx, b.list); err != nil {
		return err
	}
	if err := w.closeRelays(ctx, m); err != nil {
		return err
	}
	return e.changeMigration(ctx, w, m.Name, func(s *migrationState) { s.Phase = phaseFinished })
}

func (e *Engine) abort(ctx context.Context, w *world, m landscape.Migration, b *bridges) error {
	if err := migrate.Abort(ctx, b.list); err != nil {
		return err
	}
	if err := w.closeRelays(ctx, m); err != nil {
		return err
	}
	return e.store.Delete(ctx, documentMigration, m.Name)
}

// leaveSource takes godwit's traces off the source before everything ends.
func (e *Engine) leaveSource(ctx context.Context, w *world, name string, sink api.Sink) error {
	state, err := e.migrationState(ctx, w, name)
	if err != nil || state.Phase == phaseAdopted || state.Phase == phaseFinished {
		return err
	}
	m, _ := w.landscape.Migration(name)
	return sink.Timed("migration "+name, "leave the source", func() error {
		b, err := e.lastBridges(ctx, w, m)
		if err != nil {
			return err
		}
		defer b.close()
		if state.Truth == migrate.Target { // approved by whoever went down
			return e.finish(ctx, w, m, b)
		}
		return e.abort(ctx, w, m, b)
	})
}

// onMigration does one thing at a time with a migration's bridges.
func (e *Engine) onMigration(ctx context.Context, what, name string, sink api.Sink,
	do func(*world, landscape.Migration, *bridges, api.Sink) error) error {
	return e.withBridges(ctx, what, name, sink, e.bridges, do)
}

func (e *Engine) withBridges(ctx context.Context, what, name string, sink api.Sink,
	open func(context.Context, *world, landscape.Migration) (*bridges, error),
	do func(*world, landscape.Migration, *bridges, api.Sink) error) (err error) {
	sink, end, err := e.begin(what+" of migration "+name, sink)
	if err != nil {
		return err
	}
	defer end(&err)
	w, err := e.current()
	if err != nil {
		return err
	}
	m, err := w.migration(name)
	if err != nil {
		return err
	}
	if err := e.settle(ctx, w, sink); err != nil {
		return err
	}
	b, err := open(ctx, w, m)
	if err != nil {
		return err
	}
	defer b.close()
	return do(w, m, b, sink)
}

func runID(kind, name string) string {
	return fmt.Sprintf("%s-%s-%d", kind, name, time.Now().UnixNano())
}
