package migrate_test

import (
	"fmt"
	"path/filepath"
	"sort"
	"testing"
	"time"

	"godwit/internal/journal"
	"godwit/internal/migrate"
	"godwit/internal/migrate/migratetest"
	"godwit/internal/migrate/postgres"
	"godwit/internal/store"
)

// move is a synced migration with clients on the source.
type move struct {
	source, target *migratetest.Server
	writer         *postgres.Writer
	gate           *migratetest.Gate
	clients        *migratetest.Clients
	journal        *journal.Journal
	runs           int
}

func startMove(t *testing.T, rows int) *move {
	t.Helper()
	m := &move{source: migratetest.StartServer(t), target: migratetest.StartServer(t), gate: migratetest.NewGate(migrate.Source)}
	m.source.Fill(t, rows)
	m.writer = migratetest.Writer(t, migratetest.Pair(t, m.source, m.target))
	m.journal = openJournal(t, filepath.Join(t.TempDir(), "store"))
	return m
}

// renew takes over from the engines of other processes.
func (m *move) renew(t *testing.T) {
	t.Helper()
	m.writer = migratetest.Writer(t, migratetest.Pair(t, m.source, m.target))
}

func openJournal(t testing.TB, path string) *journal.Journal {
	t.Helper()
	s, err := store.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return journal.Open(s)
}

func (m *move) sync(t *testing.T) {
	t.Helper()
	if err := m.writer.Sync(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
}

func (m *move) load(t *testing.T, clients int, interval time.Duration) {
	m.clients = migratetest.StartClients(t, m.gate, m.source, m.target, clients, interval)
}

// plan has a pause that even a slow machine does not use up: tests of what
// happens then set their own.
func (m *move) plan(from migrate.Side) migrate.Plan {
	return migrate.Plan{Migration: "datacenter", Environment: "production", Databases: []string{"shop"}, From: from, MaxPause: 20 * time.Second}
}

// shift switches from a side and returns the report.
func (m *move) shift(t *testing.T, from migrate.Side) migrate.Report {
	t.Helper()
	m.runs++
	p := m.plan(from)
	run := journal.Run{ID: fmt.Sprint("run-", m.runs), Kind: p.Kind(), Subject: p.Migration, Payload: p.Payload()}
	outcome, err := m.journal.Run(t.Context(), run, migrate.NewSwitch(p, []*postgres.Writer{m.writer}, m.gate).Steps(), nil)
	record, rerr := m.journal.Record(t.Context(), run.ID)
	if rerr != nil {
		t.Fatal(rerr)
	}
	report := migrate.NewReport(p, outcome, func(name string) string { return record.Notes[name] })
	if err != nil {
		t.Logf("switch from %s: %v", from, err)
	}
	return report
}

func (m *move) more(t *testing.T, n int) {
	t.Helper()
	from := m.clients.Acked()
	migratetest.Eventually(t, fmt.Sprint(n, " more writes are acknowledged"), func() bool { return m.clients.Acked() >= from+n })
}

// audit ends the clients: both sides are equal, nothing failed, nothing acknowledged is missing.
func (m *move) audit(t *testing.T) postgres.Verification {
	t.Helper()
	v, err := m.writer.Verify(t.Context(), nil)
	if err != nil || len(v.Differing) > 0 || len(v.Behind) > 0 {
		t.Errorf("verify: %+v, %v", v, err)
	}
	if failures := m.clients.Failures(); len(failures) > 0 {
		t.Errorf("%d requests failed, the first: %v", len(failures), failures[0])
	}
	m.clients.Stop()
	m.clients.Audit(t, m.source.Admin)
	return v
}

func TestSwitchThereAndBackUnderLoad(t *testing.T) {
	m := startMove(t, 2000)
	m.load(t, 16, 32*time.Millisecond) // 500 transactions a second
	m.more(t, 50)
	m.sync(t)
	const rounds = 4
	pauses := map[migrate.Side][]time.Duration{}
	steps := map[string][]time.Duration{}
	var names []string
	for range rounds {
		for _, from := range []migrate.Side{migrate.Source, migrate.Target} {
			report := m.shift(t, from)
			if report.Status != journal.Done || len(report.Findings) > 0 {
				t.Fatalf("switch from %s: %s %+v", from, report.Status, report.Findings)
			}
			pauses[from] = append(pauses[from], report.WritePause)
			for _, s := range report.Steps {
				if steps[s.Name] == nil {
					names = append(names, s.Name)
				}
				steps[s.Name] = append(steps[s.Name], s.Elapsed)
			}
			if report.LSN["shop"] == "" || report.Held.Expired {
				t.Errorf("report %+v", report)
			}
			m.more(t, 100)
		}
	}
	v := m.audit(t)
	t.Logf("%d writes acknowledged, %d on the target; verify %+v", m.clients.Acked(), m.clients.AckedOn(migrate.Target), v)
	t.Logf("write pause: cutover %v, rollback %v", pauses[migrate.Source], pauses[migrate.Target])
	for _, name := range names {
		t.Logf("%-9s median %8v  max %8v", name, median(steps[name]), maximum(steps[name]))
	}
}

func median(d []time.Duration) time.Duration {
	sorted := append([]time.Duration(nil), d...)
	sort.Slice(sorted, func(i, j int) bool { return sorted[i] < sorted[j] })
	return sorted[len(sorted)/2].Round(time.Microsecond)
}

func maximum(d []time.Duration) time.Duration {
	m := time.Duration(0)
	for _, x := range d {
		m = max(m, x)
	}
	return m.Round(time.Microsecond)
}
