package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"godwit/internal/api"
	"godwit/internal/journal"
	"godwit/internal/migrate"
	"godwit/internal/migrate/postgres"
	"godwit/internal/store"
)

// Apply makes a change of definitions on both sides of a migration. To be refused is
// an outcome of what it returns, not an error.
func (e *Engine) Apply(ctx context.Context, name string, r api.ApplyRequest, sink api.Sink) (api.Applied, error) {
	var applied api.Applied
	err := e.operate(ctx, operation{name: "change of definitions of migration " + name, migration: name, links: whole,
		may: func(_ *world, m *migration) error {
			if strings.TrimSpace(r.SQL) == "" {
				return api.Fail(api.Usage, "there are no statements in it")
			}
			return m.state.mayApply()
		},
		do: func(ctx context.Context, _ *world, m *migration, sink api.Sink) (err error) {
			applied, err = m.apply(ctx, r, sink)
			return err
		}}, sink)
	return applied, err
}

func (m *migration) apply(ctx context.Context, r api.ApplyRequest, sink api.Sink) (api.Applied, error) {
	database, err := m.links.chosen(r.Database)
	if err != nil {
		return api.Applied{}, err
	}
	a := migrate.Apply{Migration: m.Name, Environment: m.Environment, Database: database, Truth: m.state.Truth, CatchUp: r.CatchUp, SQL: r.SQL}
	run := journal.Run{ID: m.runID(migrate.KindApply), Kind: migrate.KindApply, Subject: m.Name, Payload: a.Payload()}
	if r.Key != "" {
		run.ID = strings.Join([]string{migrate.KindApply, m.Name, r.Key}, "-")
	}
	record, err := m.engine.journal.Record(ctx, run.ID)
	if err == nil { // sent again after an engine had gone; the next one has settled it
		return appliedAs(a, record)
	}
	if !errors.Is(err, store.ErrNotFound) {
		return api.Applied{}, err
	}
	if err := m.rejoin(ctx); err != nil {
		return api.Applied{}, err
	}
	outcome, failure := m.engine.journal.Run(ctx, run, migrate.ApplySteps(a, run.ID, m.links.writer(database)), sink.Steps(m.scope()))
	if outcome.Status == "" {
		return api.Applied{}, failure // nothing was begun
	}
	if record, err = m.engine.journal.Record(context.WithoutCancel(ctx), run.ID); err != nil {
		return api.Applied{}, err
	}
	if outcome.Status != journal.Done && !errors.Is(failure, postgres.ErrRefused) {
		return api.Applied{}, failure
	}
	return appliedAs(a, record)
}

// appliedAs says how a change came out that has ended.
func appliedAs(a migrate.Apply, record journal.Record) (api.Applied, error) {
	how := migrate.NewApplied(func(name string) string { return record.Notes[name] })
	r := api.Applied{Migration: a.Migration, Database: a.Database, Truth: string(a.Truth), At: record.Started, Outcome: api.AppliedDone, Changes: how.Changes}
	switch {
	case record.Outcome.Status == journal.Undone:
		r.Outcome, r.Reason = api.AppliedRefused, record.Outcome.Cause.Error()
	case record.Outcome.Status != journal.Done:
		return r, fmt.Errorf("%s of %s is %s: %w; the engine tries on by itself%s", record.Run.Kind, record.Run.Subject, record.Outcome.Status, record.Outcome.Cause, wayOutOf(record.Run))
	case how.Refused != "":
		r.Outcome, r.Reason = api.AppliedRefused, how.Refused
	case how.Half != "":
		r.Outcome, r.Reason = api.AppliedHalf, how.Half
	}
	if r.Changes == nil {
		r.Changes = []string{}
	}
	return r, nil
}

// resumeApply finishes or undoes a change that a killed engine left.
func (e *Engine) resumeApply(ctx context.Context, w *world, j *journal.Journal, run journal.Run, sink api.Sink) error {
	a, err := migrate.ParseApply(run.Payload)
	if err != nil {
		return err
	}
	m, err := e.migration(ctx, w, a.Migration)
	if err != nil {
		return err
	}
	if err := whole(ctx, m); err != nil {
		return err
	}
	defer m.links.close()
	if _, err := m.links.chosen(a.Database); err != nil {
		return err
	}
	outcome, err := j.Resume(ctx, run, migrate.ApplySteps(a, run.ID, m.links.writer(a.Database)), sink.Steps(m.scope()))
	if outcome.Status == journal.Undone {
		return nil // that is what was to be reached
	}
	return err
}

// chosen is the name of a database that was named, or of the only one.
func (l *links) chosen(name string) (string, error) {
	all := l.databases()
	switch {
	case name == "" && len(all) == 1:
		return all[0], nil
	case name == "":
		return "", api.Fail(api.Usage, "the migration moves databases %s: name one with --database", strings.Join(all, ", "))
	case !slices.Contains(all, name):
		return "", api.Fail(api.Missing, "the migration moves no database %q, but %s", name, strings.Join(all, ", "))
	}
	return name, nil
}

// writer is that of a database.
func (l *links) writer(database string) *postgres.Writer {
	return l.writers[slices.Index(l.databases(), database)]
}

func (s migrationState) mayApply() error {
	switch s.Phase {
	case phaseAdopted, phaseSyncing:
		return api.Fail(api.Usage, "the target does not follow the source yet (%s): change the source as always, then run godwit migrate sync", s.Phase)
	case phaseFinished:
		return api.Fail(api.Usage, "the migration is finished, the source does not follow any more: change the environment as always")
	}
	return nil
}
