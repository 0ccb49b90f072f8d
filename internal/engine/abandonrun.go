package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"godwit/internal/api"
	"godwit/internal/gateway"
	"godwit/internal/journal"
	"godwit/internal/migrate"
)

// AbandonRun gives up a cutover, a rollback or a change of definitions of a migration
// that can neither be finished nor undone, and lets its clients go to the side that
// holds the truth. Neither side's database is asked or changed: what was done there
// stays. Where that is a change on the truth alone, the stream to the other side stands
// at it until migrate apply --catch-up, or the end of the migration.
func (e *Engine) AbandonRun(ctx context.Context, name string, sink api.Sink) (given api.AbandonedRun, err error) {
	err = e.operate(ctx, operation{name: "abandoning what is stuck of migration " + name, migration: name, apart: true,
		do: func(ctx context.Context, _ *world, m *migration, sink api.Sink) (err error) {
			given, err = m.abandon(ctx, sink)
			return err
		}}, sink)
	return given, err
}

func (m *migration) abandon(ctx context.Context, sink api.Sink) (api.AbandonedRun, error) {
	run, err := m.unfinished(ctx)
	if err != nil {
		return api.AbandonedRun{}, err
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
		return api.AbandonedRun{}, fmt.Errorf("nothing was given up: its clients cannot be let go: %w; run this again", err)
	}
	outcome, err := m.engine.journal.GiveUp(ctx, run.ID, errAbandoned.Error())
	if err != nil {
		return api.AbandonedRun{}, err
	}
	given := api.AbandonedRun{Migration: m.Name, Kind: run.Kind, Outcome: string(outcome.Status), Truth: string(m.state.Truth), Left: []string{}, Next: m.next(run)}
	for _, r := range outcome.Steps {
		if outcome.Status == journal.GivenUp && !r.Undone {
			given.Left = append(given.Left, r.Name)
		}
	}
	return given, nil
}

// abandonable are the kinds of runs of a migration that can be given up.
var abandonable = []string{migrate.KindCutover, migrate.KindRollback, migrate.KindApply}

// unfinished is the journal's run of one of them. A Missing Failure when there is none.
func (m *migration) unfinished(ctx context.Context) (journal.Run, error) {
	runs, err := m.engine.journal.Unfinished(ctx)
	if err != nil {
		return journal.Run{}, err
	}
	for _, run := range runs {
		if run.Subject == m.Name && slices.Contains(abandonable, run.Kind) {
			return run, nil
		}
	}
	return journal.Run{}, api.Fail(api.Missing, "no cutover, rollback or change of definitions of migration %q is unfinished: godwit migrate status shows where it stands", m.Name)
}

// next is what to do about what an abandoned run has left.
func (m *migration) next(run journal.Run) string {
	if run.Kind == migrate.KindApply {
		return fmt.Sprintf("if the %s has the change, give it to the other side with godwit migrate apply FILE --catch-up: the stream stands there until then", m.state.Truth)
	}
	return fmt.Sprintf("if the %s refuses writes, godwit migrate by-hand opens a source, cutover or rollback goes on", m.state.Truth)
}

// wayOutOf what stays stuck of a migration.
func wayOutOf(run journal.Run) string {
	return fmt.Sprintf("; godwit migrate abandon %s gives it up and leaves both sides as they are", run.Subject)
}
