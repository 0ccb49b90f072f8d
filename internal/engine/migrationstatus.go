package engine

import (
	"context"
	"errors"
	"sync"
	"time"

	"godwit/internal/api"
	"godwit/internal/journal"
	"godwit/internal/migrate"
	"godwit/internal/store"
)

// statusTimeout bounds looking at both sides for a status.
const statusTimeout = 3 * time.Second

// MigrationStatus reports a migration: what the store keeps, what the journal
// says of its switches, and what both sides show now.
func (e *Engine) MigrationStatus(ctx context.Context, name string) (api.Migration, error) {
	w, err := e.current()
	if err != nil {
		return api.Migration{}, err
	}
	m, err := e.migration(ctx, w, name)
	if err != nil {
		return api.Migration{}, err
	}
	return m.status(ctx)
}

func (m *migration) status(ctx context.Context) (api.Migration, error) {
	s := api.Migration{Name: m.Name, Source: m.Source, Environment: m.Environment, Phase: m.state.Phase, Truth: string(m.state.Truth)}
	var err error
	if s.Cutover, err = m.engine.switchReport(ctx, m.state.Cutover); err != nil {
		return s, err
	}
	if s.Rollback, err = m.engine.switchReport(ctx, m.state.Rollback); err != nil {
		return s, err
	}
	if m.state.Phase == phaseAdopted {
		return s, nil
	}
	patience := statusTimeout
	if m.world.fronted() {
		patience += m.engine.patience // the ways are asked for first
	}
	limit, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var relays error
	var asked sync.WaitGroup
	asked.Go(func() { relays = m.relayTrouble(limit) })
	err = m.look(limit, &s)
	asked.Wait()
	s.Problem = m.state.Lost + s.Problem + m.engine.secrets.conceal(text(errors.Join(err, relays)))
	return s, nil
}

// look fills in what both sides show. It has readers only: nothing is opened or
// changed for it.
func (m *migration) look(ctx context.Context, s *api.Migration) error {
	readers, err := m.readers(ctx)
	defer closeReaders(readers)
	if err != nil {
		return err
	}
	all, err := migrate.Status(ctx, readers)
	for _, d := range all {
		s.LagBytes += d.LagBytes
		s.Problem += d.Problem
		s.Databases = append(s.Databases, api.SyncState{Database: d.Database, Tables: d.Tables, TablesCopied: d.Copied, LagBytes: d.LagBytes})
	}
	return err
}

// switchReport reads the report of a cutover or rollback from the journal; nil
// when there was none.
func (e *Engine) switchReport(ctx context.Context, run string) (*api.SwitchReport, error) {
	if run == "" {
		return nil, nil
	}
	record, err := e.journal.Record(ctx, run)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil // the engine was killed before it began
	}
	if err != nil {
		return nil, err
	}
	p, err := migrate.ParsePlan(record.Run.Payload)
	if err != nil {
		return nil, err
	}
	r := migrate.NewReport(p, record.Outcome, func(name string) string { return record.Notes[name] })
	report := api.SwitchReport{At: record.Started, Outcome: string(r.Status), WritePauseMS: api.Milliseconds(r.WritePause), LSN: r.LSN,
		Held: r.Held.Requests, LongestMS: api.Milliseconds(r.Held.Longest), Expired: r.Held.Expired, Findings: r.Findings, Steps: stepTimes(r.Steps)}
	report.Recalled, report.EndedBy = r.Held.Recalled, r.Held.EndedBy
	for _, f := range r.Held.Ended {
		report.Ended = append(report.Ended, api.EndedRequest{State: f.State, Method: f.Method, Host: f.Host, Path: f.Path,
			AgeMS: api.Milliseconds(f.Age), In: f.In, Out: f.Out})
	}
	if record.Outcome.Status != journal.Done {
		report.Failed = record.Outcome.Failed
		if record.Outcome.Cause != nil {
			report.Reason = record.Outcome.Cause.Error()
		}
	}
	return &report, nil
}

func stepTimes(results []journal.Result) []api.StepTime {
	times := []api.StepTime{}
	for _, r := range results {
		times = append(times, api.StepTime{Name: r.Name, MS: api.Milliseconds(r.Elapsed)})
	}
	return times
}
