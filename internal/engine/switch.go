package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"godwit/internal/api"
	"godwit/internal/journal"
	"godwit/internal/migrate"
)

// Cutover makes the environment the truth.
func (e *Engine) Cutover(ctx context.Context, name string, sink api.Sink) (api.SwitchReport, error) {
	return e.turn(ctx, name, migrate.Source, sink)
}

// RollbackMigration makes the source the truth again.
func (e *Engine) RollbackMigration(ctx context.Context, name string, sink api.Sink) (api.SwitchReport, error) {
	return e.turn(ctx, name, migrate.Target, sink)
}

// turn moves the truth away from a side. Being undone is an outcome of the
// report, not an error.
func (e *Engine) turn(ctx context.Context, name string, from migrate.Side, sink api.Sink) (api.SwitchReport, error) {
	var report *api.SwitchReport
	kind := migrate.Plan{From: from}.Kind()
	err := e.operate(ctx, operation{name: kind + " of migration " + name, migration: name, links: whole,
		may: func(_ *world, m *migration) error { return m.state.mayTurn(from) },
		do: func(ctx context.Context, _ *world, m *migration, sink api.Sink) (err error) {
			report, err = m.turn(ctx, from, sink)
			return err
		}}, sink)
	if err != nil || report == nil {
		return api.SwitchReport{}, err
	}
	return *report, nil
}

func (m *migration) turn(ctx context.Context, from migrate.Side, sink api.Sink) (*api.SwitchReport, error) {
	e := m.engine
	if err := e.mayServe(ctx, m.world, m.Migration, from.Other()); err != nil {
		return nil, err
	}
	if from == migrate.Source { // a way back must not need the front that is left
		if err := e.sameAccount(ctx, m.world); err != nil {
			return nil, err
		}
		if err := m.setFronts(ctx); err != nil {
			return nil, err
		}
	}
	if err := m.rejoin(ctx); err != nil {
		return nil, err
	}
	p := migrate.Plan{Migration: m.Name, From: from, Environment: m.Environment, MaxPause: m.MaxPause, Databases: m.links.databases()}
	run := journal.Run{ID: m.runID(p.Kind()), Kind: p.Kind(), Subject: m.Name, Payload: p.Payload()}
	err := m.save(ctx, func(s *migrationState) {
		if from == migrate.Source {
			s.Cutover = run.ID
		} else {
			s.Rollback = run.ID
		}
	})
	if err != nil {
		return nil, err
	}
	s := migrate.NewSwitch(p, m.links.writers, &traffic{m})
	outcome, err := e.journal.Run(ctx, run, s.Steps(), sink.Steps(m.scope()))
	if outcome.Status == "" {
		return nil, err // nothing was begun
	}
	return e.switchReport(context.WithoutCancel(ctx), run.ID)
}

// resumeSwitch finishes or undoes a switch that a killed engine left.
func (e *Engine) resumeSwitch(ctx context.Context, w *world, j *journal.Journal, run journal.Run, sink api.Sink) error {
	p, err := migrate.ParsePlan(run.Payload)
	if err != nil {
		return err
	}
	if _, declared := w.landscape.Migration(p.Migration); !declared {
		return fmt.Errorf("the landscape no longer declares migration %q", p.Migration)
	}
	m, err := e.migration(ctx, w, p.Migration)
	if err != nil {
		return err
	}
	if m.Environment != p.Environment {
		return fmt.Errorf("it was begun towards environment %q, and the landscape moves migration %q into %q: declare it as it was", p.Environment, m.Name, m.Environment)
	}
	return m.resume(ctx, j, run, p, sink)
}

// resume is where the locks of the engine before are taken over.
func (m *migration) resume(ctx context.Context, j *journal.Journal, run journal.Run, p migrate.Plan, sink api.Sink) error {
	open := whole
	if m.engine.takesBack(ctx, run, p) {
		open = wholeOrLast
	}
	if err := open(ctx, m); err != nil {
		return err
	}
	defer m.links.close()
	s := migrate.NewSwitch(p, m.links.writers, &traffic{m})
	outcome, err := j.Resume(ctx, run, s.Steps(), sink.Steps(m.scope()))
	if outcome.Status == journal.Undone {
		return nil // that is what was to be reached
	}
	return err
}

// takesBack: what is left of a switch is to open the source again, for which the
// environment is not needed.
func (e *Engine) takesBack(ctx context.Context, run journal.Run, p migrate.Plan) bool {
	record, err := e.journal.Record(ctx, run.ID)
	if err != nil || p.From != migrate.Source {
		return false
	}
	begun := func(s journal.Step) bool {
		return s.PointOfNoReturn && slices.ContainsFunc(record.Outcome.Steps, func(r journal.Result) bool { return r.Name == s.Name })
	}
	return !slices.ContainsFunc(migrate.NewSwitch(p, nil, nil).Steps(), begun)
}

// resumeSync: a sync that was interrupted goes on when it is asked for again.
func (e *Engine) resumeSync(ctx context.Context, run journal.Run) error {
	_, err := e.journal.Resume(ctx, run, migrate.SyncSteps(nil, nil), nil)
	var failure *journal.Failure
	if errors.As(err, &failure) && failure.Status == journal.Undone {
		return nil
	}
	return err
}
