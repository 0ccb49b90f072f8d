package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"godwit/internal/api"
	"godwit/internal/journal"
	"godwit/internal/landscape"
	"godwit/internal/migrate"
	"godwit/internal/plan"
	"godwit/internal/store"
)

// Phases of a migration.
const (
	phaseAdopted    = "adopted"     // the gateway serves the source's traffic; nothing else has happened
	phaseSyncing    = "syncing"     // the copy was begun
	phaseSynced     = "synced"      // the target follows the source
	phaseCutOver    = "cut-over"    // the target is the truth, the source follows
	phaseRolledBack = "rolled-back" // the source is the truth again, the target follows
	phaseFinished   = "finished"    // the target is the truth, there is no way back
)

// migrationState is what the store keeps of a migration. Its truth changes in
// the same step in which the gateway's route does, so that after a crash both
// say the same.
type migrationState struct {
	Phase    string       `json:"phase"`
	Truth    migrate.Side `json:"truth"`
	Cutover  string       `json:"cutover,omitempty"`  // journal run of the last cutover
	Rollback string       `json:"rollback,omitempty"` // journal run of the last rollback
}

func (e *Engine) migrationState(ctx context.Context, w *world, name string) (migrationState, error) {
	if _, err := w.migration(name); err != nil {
		return migrationState{}, err
	}
	state := migrationState{Phase: phaseAdopted, Truth: migrate.Source}
	_, err := e.store.Get(ctx, documentMigration, name, &state)
	return state, err
}

// changeMigration reads, changes and writes the state of a migration. Only the
// operation under way changes it.
func (e *Engine) changeMigration(ctx context.Context, w *world, name string, change func(*migrationState)) error {
	state, err := e.migrationState(ctx, w, name)
	if err != nil {
		return err
	}
	before := state
	change(&state)
	if state == before {
		return nil
	}
	return e.store.Put(ctx, documentMigration, name, state)
}

// underWay: replication runs, or one side waits for it.
func (s migrationState) underWay() bool { return s.Phase != phaseAdopted && s.Phase != phaseFinished }

// migrationsStay refuses a landscape that leaves a migration under way behind:
// nobody would end its replication, for which the source keeps its log. One that
// turns it elsewhere would send clients to databases that have nothing of theirs.
func (e *Engine) migrationsStay(ctx context.Context, w *world, p plan.Plan) error {
	states, err := e.migrationStates(ctx)
	if err != nil {
		return err
	}
	before := &landscape.Landscape{}
	if s, found, err := e.loadSettings(ctx); err == nil && found {
		if l, err := parse(s.Landscape); err == nil {
			before = l
		}
	}
	for _, name := range slices.Sorted(maps.Keys(states)) {
		state := states[name]
		why := cmp.Or(w.leaves(name, p), redirected(before, w.landscape, name))
		_, declared := w.landscape.Migration(name)
		switch {
		case why == "" || state.Phase == phaseAdopted:
		case state.underWay():
			return api.Fail(api.Refused, "migration %q is under way (%s), and %s: run godwit migrate abort or finish first", name, state.Phase, why)
		case declared && redirected(before, w.landscape, name) != "":
			return api.Fail(api.Refused, "migration %q is finished, and %s: declare another migration for that, or run godwit down first", name, why)
		}
	}
	return nil
}

// migrationStates are those that the store keeps, declared or not.
func (e *Engine) migrationStates(ctx context.Context) (map[string]migrationState, error) {
	names, err := e.store.List(ctx, documentMigration)
	if err != nil {
		return nil, err
	}
	states := map[string]migrationState{}
	for _, name := range names {
		var state migrationState
		if _, err := e.store.Get(ctx, documentMigration, name, &state); err != nil {
			return nil, err
		}
		states[name] = state
	}
	return states, nil
}

// redirected says how a landscape has a migration move something else, or
// elsewhere, than the one before it; "" when it does not.
func redirected(before, now *landscape.Landscape, migration string) string {
	was, known := before.Migration(migration)
	is, declared := now.Migration(migration)
	switch {
	case !known || !declared:
		return ""
	case was.Environment != is.Environment:
		return fmt.Sprintf("it moves into environment %q, not into %q", was.Environment, is.Environment)
	case was.Source != is.Source:
		return fmt.Sprintf("it moves source %q, not %q", was.Source, is.Source)
	case before.AWS != nil && now.AWS != nil && before.AWS.Region != now.AWS.Region:
		return fmt.Sprintf("it moves to region %s, not to %s", before.AWS.Region, now.AWS.Region)
	}
	if had, has := databaseNames(before, was.Source), databaseNames(now, is.Source); !slices.Equal(had, has) {
		return fmt.Sprintf("it moves databases %s, not %s", strings.Join(had, ", "), cmp.Or(strings.Join(has, ", "), "none"))
	}
	return ""
}

// databaseNames are those of a source, sorted.
func databaseNames(l *landscape.Landscape, source string) []string {
	src, _ := l.Source(source)
	var names []string
	for _, d := range src.Databases {
		names = append(names, d.Name)
	}
	slices.Sort(names)
	return names
}

// leaves says how a plan leaves a migration behind, "" when it does not.
func (w *world) leaves(migration string, p plan.Plan) string {
	m, declared := w.landscape.Migration(migration)
	if !declared {
		return "the landscape declares it no more"
	}
	if slices.ContainsFunc(p.Changes, func(c plan.Change) bool {
		return c.Kind == plan.Environment && c.Name == m.Environment // whatever the change is, its database is not the one that follows
	}) {
		return fmt.Sprintf("its environment %q would be made anew", m.Environment)
	}
	return ""
}

// turned is the state after the route has turned to a side.
func (s *migrationState) turned(to migrate.Side) {
	switch {
	case to == migrate.Target:
		s.Phase = phaseCutOver
	case s.Truth == migrate.Target:
		s.Phase = phaseRolledBack
	}
	s.Truth = to
}

// statusTimeout bounds looking at both sides for a status.
const statusTimeout = 3 * time.Second

// MigrationStatus reports a migration: what the store keeps, what the journal
// says of its switches, and what both sides show now.
func (e *Engine) MigrationStatus(ctx context.Context, name string) (api.Migration, error) {
	w, err := e.current()
	if err != nil {
		return api.Migration{}, err
	}
	state, err := e.migrationState(ctx, w, name)
	if err != nil {
		return api.Migration{}, err
	}
	declared, _ := w.landscape.Migration(name)
	m := api.Migration{Name: name, Source: declared.Source, Environment: declared.Environment, Phase: state.Phase, Truth: string(state.Truth)}
	if m.Cutover, err = e.switchReport(ctx, state.Cutover); err != nil {
		return m, err
	}
	if m.Rollback, err = e.switchReport(ctx, state.Rollback); err != nil {
		return m, err
	}
	if state.Phase == phaseAdopted {
		return m, nil
	}
	patience := statusTimeout
	if w.fronted() {
		patience += e.patience // the ways are asked for first
	}
	limit, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := e.look(limit, w, declared, &m); err != nil {
		m.Problem = err.Error()
	}
	return m, nil
}

// look fills in what both sides show.
func (e *Engine) look(ctx context.Context, w *world, declared landscape.Migration, m *api.Migration) error {
	readers, err := e.readers(ctx, w, declared)
	if err != nil {
		return err
	}
	defer func() {
		for _, r := range readers {
			r.Close()
		}
	}()
	all, err := migrate.Status(ctx, readers)
	for _, d := range all {
		m.LagBytes += d.LagBytes
		m.Databases = append(m.Databases, api.SyncState{Database: d.Database, Tables: d.Tables, TablesCopied: d.Copied, LagBytes: d.LagBytes})
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
