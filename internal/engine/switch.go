package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"godwit/internal/api"
	"godwit/internal/journal"
	"godwit/internal/landscape"
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
	p := migrate.Plan{Migration: name, From: from}
	err := e.onMigration(ctx, p.Kind(), name, sink, func(w *world, m landscape.Migration, b *bridges, sink api.Sink) error {
		state, err := e.migrationState(ctx, w, name)
		if err != nil {
			return err
		}
		if err := mayTurn(state, from); err != nil {
			return err
		}
		if err := e.mayServe(ctx, w, m, from.Other()); err != nil {
			return err
		}
		if from == migrate.Source { // a way back must not need the front that is left
			if err := e.sameAccount(ctx, w); err != nil {
				return err
			}
			if err := e.setFronts(ctx, w, m); err != nil {
				return err
			}
		}
		if err := w.rejoin(ctx, b); err != nil {
			return err
		}
		p.Environment, p.MaxPause, p.Databases = m.Environment, m.MaxPause, b.databases()
		run := journal.Run{ID: runID(p.Kind(), name), Kind: p.Kind(), Subject: name, Payload: p.Payload()}
		err = e.changeMigration(ctx, w, name, func(s *migrationState) {
			if from == migrate.Source {
				s.Cutover = run.ID
			} else {
				s.Rollback = run.ID
			}
		})
		if err != nil {
			return err
		}
		s := migrate.NewSwitch(p, b.list, e.traffic(w, m))
		outcome, err := e.journal.Run(ctx, run, s.Steps(), sink.Steps("migration "+name))
		if outcome.Status == "" {
			return err // nothing was begun
		}
		report, err = e.switchReport(context.WithoutCancel(ctx), run.ID)
		return err
	})
	if err != nil || report == nil {
		return api.SwitchReport{}, err
	}
	return *report, nil
}

// mayTurn refuses a switch that cannot be meant.
func mayTurn(s migrationState, from migrate.Side) error {
	switch {
	case s.Phase == phaseFinished:
		return api.Fail(api.Usage, "the migration is finished: there is no way back any more")
	case s.Truth != from && from == migrate.Source:
		return api.Fail(api.Usage, "the environment holds the truth already: there is nothing to cut over")
	case s.Truth != from:
		return api.Fail(api.Usage, "the source holds the truth: there is nothing to roll back")
	case s.Phase == phaseAdopted || s.Phase == phaseSyncing:
		return api.Fail(api.Usage, "the target does not follow the source yet (%s): run godwit migrate sync first", s.Phase)
	}
	return nil
}

// resumeSwitch finishes or undoes a switch that a killed engine left.
func (e *Engine) resumeSwitch(ctx context.Context, w *world, run journal.Run, sink api.Sink) error {
	p, err := migrate.ParsePlan(run.Payload)
	if err != nil {
		return err
	}
	m, ok := w.landscape.Migration(p.Migration)
	if !ok {
		return fmt.Errorf("the landscape no longer declares migration %q", p.Migration)
	}
	if m.Environment != p.Environment {
		return fmt.Errorf("it was begun towards environment %q, and the landscape moves migration %q into %q: declare it as it was", p.Environment, m.Name, m.Environment)
	}
	open := e.bridges
	if e.takesBack(ctx, run, p) {
		open = e.lastBridges
	}
	b, err := open(ctx, w, m)
	if err != nil {
		return err
	}
	defer b.close()
	s := migrate.NewSwitch(p, b.list, e.traffic(w, m))
	outcome, err := e.journal.Resume(ctx, run, s.Steps(), sink.Steps("migration "+p.Migration))
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
