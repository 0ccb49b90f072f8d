package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dustin/go-humanize"

	"godwit/internal/api"
	"godwit/internal/journal"
	"godwit/internal/landscape"
	"godwit/internal/migrate"
	"godwit/internal/migrate/postgres"
)

// migration is a declared migration, found in a world: what is kept of it, and
// what is done with its databases, its traffic and the fronts of its environment.
type migration struct {
	landscape.Migration
	engine *Engine
	world  *world
	state  migrationState // as it was read last; save changes it
	links  *links         // of the operation under way; nil where nobody has opened any
}

// migration finds a migration and reads its state.
func (e *Engine) migration(ctx context.Context, w *world, name string) (*migration, error) {
	declared, err := w.migration(name)
	if err != nil {
		return nil, err
	}
	m := &migration{Migration: declared, engine: e, world: w}
	return m, m.load(ctx)
}

// source is where it moves from.
func (m *migration) source() landscape.Source {
	src, _ := m.world.landscape.Source(m.Source)
	return src
}

// scope is what its progress is shown under.
func (m *migration) scope() string { return "migration " + m.Name }

// runID names a run of the journal.
func (m *migration) runID(kind string) string {
	return fmt.Sprintf("%s-%s-%d", kind, m.Name, time.Now().UnixNano())
}

// Check says what stands against a migration, of all its databases at once.
func (e *Engine) Check(ctx context.Context, name string, sink api.Sink) (checks api.Checks, err error) {
	err = e.operate(ctx, operation{name: "check of migration " + name, migration: name, links: possible,
		do: func(ctx context.Context, _ *world, m *migration, _ api.Sink) (err error) {
			checks, err = m.check(ctx)
			return err
		}}, sink)
	return checks, err
}

// check changes nothing: a relay that was opened only to look is closed again.
func (m *migration) check(ctx context.Context) (checks api.Checks, err error) {
	if m.state.Phase == phaseAdopted {
		defer func() { err = errors.Join(err, m.closeRelays(context.WithoutCancel(ctx))) }()
	}
	if checks.Findings, err = m.links.check(ctx); err != nil {
		return checks, err
	}
	for _, why := range m.links.missing {
		checks.Findings = append(checks.Findings, migrate.Unasked(why))
	}
	if err := m.relayTrouble(ctx); err != nil {
		checks.Findings = append(checks.Findings, migrate.Unasked(err))
	}
	services, err := m.engine.serving(ctx, m.world, m.Migration, migrate.Source)
	if err != nil {
		return checks, err
	}
	checks.Findings = append(checks.Findings, services...)
	fronts, err := m.frontsChecked(ctx)
	if ctx.Err() != nil {
		return checks, ctx.Err()
	}
	if err != nil { // what is known of the databases is said nevertheless
		fronts = append(fronts, migrate.Unasked(err))
	}
	checks.Findings = append(checks.Findings, fronts...)
	m.engine.secrets.concealFindings(checks.Findings)
	checks.Go = !checks.Findings.HasErrors()
	return checks, nil
}

// Sync copies schema and data and keeps them in step. What stands against it is
// said before anything is changed.
func (e *Engine) Sync(ctx context.Context, name string, sink api.Sink) (api.Migration, error) {
	return e.leads(ctx, operation{name: "sync of migration " + name, migration: name, links: whole,
		may: func(_ *world, m *migration) error { return m.state.maySync() },
		do: func(ctx context.Context, _ *world, m *migration, sink api.Sink) error {
			return m.afresh(ctx, sink, func(ctx context.Context) error { return m.sync(ctx, sink) })
		}}, sink)
}

func (m *migration) sync(ctx context.Context, sink api.Sink) error {
	findings, err := m.links.check(ctx)
	if err == nil && findings.HasErrors() {
		m.engine.secrets.concealFindings(findings)
		err = &api.Failure{Code: api.Usage, Message: "the migration has findings", Findings: findings}
	}
	if err != nil {
		if m.state.Phase == phaseAdopted { // nothing was begun
			err = errors.Join(err, m.closeRelays(context.WithoutCancel(ctx)))
		}
		return err
	}
	if err := m.save(ctx, func(s *migrationState) { s.Phase = phaseSyncing }); err != nil {
		return err
	}
	if err := m.links.configure(ctx, m); err != nil {
		return fmt.Errorf("%w; the source goes on as before: mend it and run sync again, or godwit migrate abort", err)
	}
	run := journal.Run{ID: m.runID(migrate.KindSync), Kind: migrate.KindSync, Subject: m.Name, Payload: migrate.Plan{Migration: m.Name}.Payload()}
	if _, err := m.engine.journal.Run(ctx, run, migrate.SyncSteps(m.links.writers, syncProgress(sink, m.scope())), sink.Steps(m.scope())); err != nil {
		return fmt.Errorf("%w; the source goes on as before: mend it and run sync again, or godwit migrate abort", err)
	}
	if err := m.save(ctx, func(s *migrationState) { s.Phase = phaseSynced }); err != nil {
		return err
	}
	if err := m.startWaiting(ctx, sink); err != nil {
		return fmt.Errorf("the data is there and is kept in step, but what waited for it does not run: %w; mend that, then run godwit migrate sync again: it goes on there. "+
			"Until the cutover the database of environment %s refuses writes: a service has to start without any", err, m.Environment)
	}
	return nil
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
	if p.OfBytes > 0 {
		text += fmt.Sprintf(", %s of %s", humanize.Bytes(uint64(p.Bytes)), humanize.Bytes(uint64(p.OfBytes)))
	}
	if p.Left > 0 {
		text += fmt.Sprintf(", about %v left", p.Left.Round(time.Second))
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
func (e *Engine) Verify(ctx context.Context, name string, sink api.Sink) (v api.Verification, err error) {
	err = e.operate(ctx, operation{name: "verify of migration " + name, migration: name, links: whole,
		may: func(_ *world, m *migration) error { return m.state.mayVerify() },
		do: func(ctx context.Context, _ *world, m *migration, sink api.Sink) error {
			return m.afresh(ctx, sink, func(ctx context.Context) (err error) {
				v, err = m.verify(ctx, sink)
				return err
			})
		}}, sink)
	return v, err
}

func (m *migration) verify(ctx context.Context, sink api.Sink) (api.Verification, error) {
	ways, err := migrate.Ways(ctx, m.links.readers)
	if err != nil {
		return api.Verification{}, err
	}
	all, err := migrate.Verify(ctx, m.links.writers, func(p postgres.Verification) {
		sink.Event(api.Event{At: time.Now(), Scope: m.scope(), Step: "verify " + p.Database, State: "note",
			Message: fmt.Sprintf("%d rows compared", p.Rows)})
	})
	var v api.Verification
	for _, f := range ways { // a table that only one side has is compared with nothing
		v.Differing, v.Problem = append(v.Differing, f.Summary), f.Mend
	}
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
	if err != nil && len(ways) > 0 && ctx.Err() == nil { // that is why: a column is not there, or its rows do not arrive
		v.Differing = append(v.Differing, "rows were not compared to the end: "+m.engine.secrets.conceal(err.Error()))
		return v, nil
	}
	return v, err
}

// leads does an operation and says where the migration stands after it. Looking
// at that opens nothing again.
func (e *Engine) leads(ctx context.Context, o operation, sink api.Sink) (api.Migration, error) {
	if err := e.operate(ctx, o, sink); err != nil {
		return api.Migration{}, err
	}
	return e.MigrationStatus(ctx, o.migration)
}
