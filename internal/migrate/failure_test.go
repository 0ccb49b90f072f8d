package migrate_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"godwit/internal/journal"
	"godwit/internal/migrate"
	"godwit/internal/migrate/migratetest"
	"godwit/internal/migrate/postgres"
)

// expectUndone: the switch was taken back because of want, with a finding that
// names the step; clients go on writing on the source, nothing is lost.
func expectUndone(t *testing.T, m *move, report migrate.Report, step, want string) {
	t.Helper()
	if report.Status != journal.Undone || len(report.Findings) != 1 {
		t.Fatalf("status %s, findings %+v", report.Status, report.Findings)
	}
	f := report.Findings[0]
	if !strings.Contains(f.Summary, fmt.Sprintf("step %q", step)) || !strings.Contains(f.Summary, want) || f.Mend == "" {
		t.Errorf("finding %+v, want step %q and %q", f, step, want)
	}
	t.Logf("finding: %s; %s", f.Summary, f.Mend)
	before := m.clients.AckedOn(migrate.Source)
	migratetest.Eventually(t, "clients write on the source again", func() bool { return m.clients.AckedOn(migrate.Source) > before+20 })
	if m.gate.Side() != migrate.Source {
		t.Error("the route does not point to the source")
	}
	m.clients.Stop()
	m.clients.Audit(t, m.source.Admin)
}

// hook is a Traffic that calls back when the requests are drained.
type hook struct {
	migrate.Traffic
	drained func()
}

func (h hook) Drained(ctx context.Context) error {
	err := h.Traffic.Drained(ctx)
	h.drained()
	return err
}

// shiftWith is shift with a Traffic and an observer of its own.
func (m *move) shiftWith(t *testing.T, p migrate.Plan, traffic migrate.Traffic, observe func(journal.Event)) migrate.Report {
	t.Helper()
	m.runs++
	run := journal.Run{ID: fmt.Sprint("run-", m.runs), Kind: p.Kind(), Subject: p.Migration, Payload: p.Payload()}
	outcome, err := m.journal.Run(t.Context(), run, migrate.NewSwitch(p, []*postgres.Writer{m.writer}, traffic).Steps(), observe)
	if err != nil {
		t.Logf("switch: %v", err)
	}
	return migrate.NewReport(p, outcome, func(string) string { return "" })
}

func TestRelayCutWhileWaitingForTheTarget(t *testing.T) {
	m := startMove(t, 100)
	relay := migratetest.StartProxy(t, m.source.Admin)
	m.writer.Source.Peer = relay.Address()
	m.load(t, 8, 20*time.Millisecond)
	m.sync(t)
	p := m.plan(migrate.Source)
	p.MaxPause = 4 * time.Second
	report := m.shiftWith(t, p, hook{m.gate, relay.Cut}, nil)
	relay.Mend()
	expectUndone(t, m, report, "catch-up", "pause")
	m.load(t, 8, 20*time.Millisecond)
	if report := m.shift(t, migrate.Source); report.Status != journal.Done {
		t.Errorf("a switch after the relay is mended: %+v", report.Findings)
	}
}

func TestEngineLosesTheSourceBehindTheFence(t *testing.T) {
	m := startMove(t, 100)
	way := migratetest.StartProxy(t, m.source.Admin)
	pair := migratetest.Pair(t, m.source, m.target)
	pair.Source = migratetest.Side(t, way.URL(m.source.Admin))
	m.writer = migratetest.Writer(t, pair)
	m.load(t, 8, 20*time.Millisecond)
	m.sync(t)
	report := m.shiftWith(t, m.plan(migrate.Source), m.gate, func(e journal.Event) {
		if e.Step == "catch-up" && e.Moment == journal.StepBegun {
			way.Cut()
		}
		if e.Moment == journal.StepFailed {
			time.AfterFunc(300*time.Millisecond, way.Mend)
		}
	})
	expectUndone(t, m, report, "decide", "does not answer")
}

func TestRequestThatNeverEnds(t *testing.T) {
	m := startMove(t, 100)
	m.load(t, 4, 20*time.Millisecond)
	m.sync(t)
	begun, end := make(chan bool), make(chan bool)
	ended := make(chan error)
	go func() {
		ended <- m.gate.Do(context.Background(), func(migrate.Side) error { close(begun); <-end; return nil })
	}()
	<-begun
	p := m.plan(migrate.Source)
	p.MaxPause = 300 * time.Millisecond
	report := m.shiftWith(t, p, m.gate, nil)
	close(end)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	expectUndone(t, m, report, "drain", "in flight")
}

func TestDefinitionChangedInsideTheSwitch(t *testing.T) {
	m := startMove(t, 100)
	m.load(t, 4, 20*time.Millisecond)
	m.sync(t)
	report := m.shiftWith(t, m.plan(migrate.Source), hook{m.gate, func() {
		migratetest.Exec(t, m.source.App, "ALTER TABLE receipt ADD COLUMN late int")
	}}, nil)
	expectUndone(t, m, report, "fence", "table public.receipt changed")
}

func TestTargetDiesInsideTheSwitch(t *testing.T) {
	m := startMove(t, 100)
	m.load(t, 4, 20*time.Millisecond)
	way := migratetest.StartProxy(t, m.target.Admin)
	pair := migratetest.Pair(t, m.source, m.target)
	pair.Target = migratetest.Side(t, way.URL(m.target.Admin))
	m.writer = migratetest.Writer(t, pair)
	m.sync(t)
	report := m.shiftWith(t, m.plan(migrate.Source), m.gate, func(e journal.Event) {
		if e.Step == "catch-up" && e.Moment == journal.StepBegun {
			way.Cut() // and it stays away
		}
	})
	expectUndone(t, m, report, "catch-up", "does not answer")
	way.Mend()
	m.load(t, 4, 20*time.Millisecond)
	if report := m.shift(t, migrate.Source); report.Status != journal.Done {
		t.Errorf("a switch after the target is back: %+v", report.Findings)
	}
}

// Several databases move together: all or none.
func TestSeveralDatabases(t *testing.T) {
	m := startMove(t, 100)
	pair := migratetest.Pair(t, m.source, m.target)
	pair.Database = "stock"
	for _, s := range []*migratetest.Server{m.source, m.target} {
		migratetest.Exec(t, s.Admin, "CREATE DATABASE stock OWNER shop")
	}
	stock := func(s *migratetest.Server) string { return strings.Replace(s.Admin, "/shop?", "/stock?", 1) }
	pair.Source, pair.Target = migratetest.Side(t, stock(m.source)), migratetest.Side(t, stock(m.target))
	migratetest.Exec(t, stock(m.source), "CREATE TABLE item (id serial PRIMARY KEY, n int)", "INSERT INTO item (n) VALUES (1), (2)")
	writers := []*postgres.Writer{m.writer, migratetest.Writer(t, pair)}
	readers := []*postgres.Reader{migratetest.Reader(t, migratetest.Pair(t, m.source, m.target)), migratetest.Reader(t, pair)}
	if _, err := m.journal.Run(t.Context(), journal.Run{ID: "sync", Kind: migrate.KindSync, Subject: "x"}, migrate.SyncSteps(writers, nil), nil); err != nil {
		t.Fatal(err)
	}
	if findings, err := migrate.Check(t.Context(), readers); err != nil || len(findings) > 0 {
		t.Errorf("check of what is synced: %+v, %v", findings, err)
	}
	m.load(t, 4, 20*time.Millisecond)
	m.more(t, 20)
	p := m.plan(migrate.Source)
	p.Databases = append(p.Databases, "stock")
	switchTo := func(id string, p migrate.Plan) (migrate.Report, error) {
		run := journal.Run{ID: id, Kind: p.Kind(), Subject: "x", Payload: p.Payload()}
		outcome, err := m.journal.Run(t.Context(), run, migrate.NewSwitch(p, writers, m.gate).Steps(), nil)
		record, rerr := m.journal.Record(t.Context(), id)
		return migrate.NewReport(p, outcome, func(name string) string { return record.Notes[name] }), errors.Join(err, rerr)
	}
	migratetest.Exec(t, stock(m.source), "BEGIN; INSERT INTO item (n) VALUES (3); PREPARE TRANSACTION 'open'")
	report, err := switchTo("one", p)
	if !errors.Is(err, postgres.ErrPrepared) || report.Status != journal.Undone {
		t.Fatalf("with a prepared transaction in one of them: %+v, %v", report, err)
	}
	m.more(t, 20)
	migratetest.Exec(t, stock(m.source), "COMMIT PREPARED 'open'")
	if report, err = switchTo("two", p); err != nil || len(report.LSN) != 2 {
		t.Fatalf("%+v, %v", report, err)
	}
	status, err := migrate.Status(t.Context(), readers)
	if err != nil || len(status) != 2 || status[0].Truth != postgres.Target || status[1].Truth != postgres.Target {
		t.Errorf("status %+v, %v", status, err)
	}
	if got := migratetest.Text(t, stock(m.target), "SELECT count(*) FROM item"); got != "3" {
		t.Errorf("%s items arrived", got)
	}
	m.clients.Stop()
	m.clients.Audit(t, m.target.Admin)
	if err := migrate.Finish(t.Context(), writers); err != nil {
		t.Error(err)
	}
}
