package engine

import (
	"context"
	"errors"
	"fmt"

	"godwit/internal/api"
	"godwit/internal/gateway"
	"godwit/internal/journal"
	"godwit/internal/migrate"
)

// AbandonSwitch gives up a cutover or rollback of a migration that can neither be
// finished nor undone, and lets its clients go to the side that holds the truth.
// Neither side's database is asked or changed: what the switch had done there stays.
func (e *Engine) AbandonSwitch(ctx context.Context, name string, sink api.Sink) (given api.AbandonedSwitch, err error) {
	err = e.operate(ctx, operation{name: "abandoning a switch of migration " + name, migration: name, apart: true,
		do: func(ctx context.Context, _ *world, m *migration, sink api.Sink) (err error) {
			given, err = m.abandonSwitch(ctx, sink)
			return err
		}}, sink)
	return given, err
}

func (m *migration) abandonSwitch(ctx context.Context, sink api.Sink) (api.AbandonedSwitch, error) {
	run, err := m.unfinishedSwitch(ctx)
	if err != nil {
		return api.AbandonedSwitch{}, err
	}
	// The hold ends first: a run that has ended would not be looked at again.
	release := func() error {
		_, err := m.engine.gateway.Release(ctx, (&traffic{m}).hold())
		if errors.Is(err, gateway.ErrNotFound) {
			return nil
		}
		return err
	}
	if err := sink.Timed(m.scope(), "release", release); err != nil {
		return api.AbandonedSwitch{}, fmt.Errorf("nothing was given up: its clients cannot be let go: %w; run this again", err)
	}
	outcome, err := m.engine.journal.GiveUp(ctx, run.ID, errAbandoned.Error())
	if err != nil {
		return api.AbandonedSwitch{}, err
	}
	given := api.AbandonedSwitch{Migration: m.Name, Kind: run.Kind, Outcome: string(outcome.Status), Truth: string(m.state.Truth), Left: []string{}}
	for _, r := range outcome.Steps {
		if outcome.Status == journal.GivenUp && !r.Undone {
			given.Left = append(given.Left, r.Name)
		}
	}
	return given, nil
}

// unfinishedSwitch is the journal's run of one. A Missing Failure when there is none.
func (m *migration) unfinishedSwitch(ctx context.Context) (journal.Run, error) {
	runs, err := m.engine.journal.Unfinished(ctx)
	if err != nil {
		return journal.Run{}, err
	}
	for _, run := range runs {
		if run.Subject == m.Name && (run.Kind == migrate.KindCutover || run.Kind == migrate.KindRollback) {
			return run, nil
		}
	}
	return journal.Run{}, api.Fail(api.Missing, "no cutover or rollback of migration %q is unfinished: godwit migrate status shows where it stands", m.Name)
}

// wayOutOf a switch that stays stuck.
func wayOutOf(run journal.Run) string {
	return fmt.Sprintf("; godwit migrate abandon %s gives it up and leaves both sides as they are", run.Subject)
}
