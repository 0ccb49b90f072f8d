package engine

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"godwit/internal/api"
	"godwit/internal/landscape"
	"godwit/internal/migrate"
	"godwit/internal/plan"
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
	Lost     string       `json:"lost,omitempty"`     // why one side can follow the other no more
}

// load reads the state; before anything has happened, that the source is the truth.
func (m *migration) load(ctx context.Context) error {
	m.state = migrationState{Phase: phaseAdopted, Truth: migrate.Source}
	_, err := m.engine.store.Get(ctx, documentMigration, m.Name, &m.state)
	return err
}

// save reads, changes and writes the state. Only the operation under way changes it.
func (m *migration) save(ctx context.Context, change func(*migrationState)) error {
	if err := m.load(ctx); err != nil {
		return err
	}
	before := m.state
	change(&m.state)
	if m.state == before {
		return nil
	}
	return m.engine.store.Put(ctx, documentMigration, m.Name, m.state)
}

// forget removes the state: nothing has happened.
func (m *migration) forget(ctx context.Context) error {
	if err := m.engine.store.Delete(ctx, documentMigration, m.Name); err != nil {
		return err
	}
	return m.load(ctx)
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
		if l, err := s.Landscape.parse(); err == nil {
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

func (s migrationState) maySync() error {
	if s.Truth == migrate.Target {
		return api.Fail(api.Usage, "the environment holds the truth already (%s): there is nothing to sync from the source", s.Phase)
	}
	return nil
}

// mayTurn refuses a switch that cannot be meant.
func (s migrationState) mayTurn(from migrate.Side) error {
	switch {
	case s.Phase == phaseFinished:
		return api.Fail(api.Usage, "the migration is finished: there is no way back any more")
	case s.Truth != from && from == migrate.Source:
		return api.Fail(api.Usage, "the environment holds the truth already: there is nothing to cut over")
	case s.Truth != from:
		return api.Fail(api.Usage, "the source holds the truth: there is nothing to roll back")
	case s.Lost != "":
		return api.Fail(api.Usage, "%s", s.Lost)
	case s.Phase == phaseAdopted || s.Phase == phaseSyncing:
		return api.Fail(api.Usage, "the target does not follow the source yet (%s): run godwit migrate sync first", s.Phase)
	}
	return nil
}

func (s migrationState) mayVerify() error {
	switch s.Phase {
	case phaseAdopted, phaseSyncing:
		return api.Fail(api.Usage, "the target does not follow the source yet (%s): run godwit migrate sync first", s.Phase)
	case phaseFinished:
		return api.Fail(api.Usage, "the migration is finished: the source no longer follows, there is nothing to compare with")
	}
	return nil
}

func (s migrationState) mayFinish() error {
	if s.Truth != migrate.Target {
		return api.Fail(api.Usage, "the source holds the truth: cut over first, or give up with godwit migrate abort")
	}
	return nil
}

func (s migrationState) mayAbort() error {
	if s.Truth != migrate.Source {
		return api.Fail(api.Refused, "the environment holds the truth: run godwit migrate rollback first, or keep it with godwit migrate finish")
	}
	return nil
}
