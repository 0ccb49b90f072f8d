package migrate_test

import (
	"fmt"
	"testing"
	"time"

	"godwit/internal/journal"
	"godwit/internal/migrate"
	"godwit/internal/migrate/migratetest"
	"godwit/internal/migrate/postgres"
)

// wires are all ways between the data centre and the rest: the engine's, and both
// databases' to each other. Clients reach both sides without them.
type wires []*migratetest.Proxy

// startWiredMove is startMove with wires.
func startWiredMove(t *testing.T, rows int) (*move, postgres.Pair, wires) {
	t.Helper()
	m := startMove(t, rows)
	w := wires{migratetest.StartProxy(t, m.source.Admin), migratetest.StartProxy(t, m.target.Admin)}
	pair := migratetest.Pair(t, m.source, m.target)
	pair.Source = migratetest.Side(t, w[0].URL(m.source.Admin))
	pair.Target.Peer = w[1].Address()
	m.writer = migratetest.Writer(t, pair)
	return m, pair, w
}

func (w wires) each(do func(*migratetest.Proxy)) {
	for _, p := range w {
		do(p)
	}
}

// outages are the ways in which a wire fails.
var outages = map[string]struct{ begin, end func(*migratetest.Proxy) }{
	"nothing passes": {(*migratetest.Proxy).Stall, (*migratetest.Proxy).Flow},
	"cut":            {(*migratetest.Proxy).Cut, (*migratetest.Proxy).Mend},
}

// outage is longer than the write pause may be.
const (
	outage      = 3 * time.Second
	outagePause = 1500 * time.Millisecond
)

// TestLinkFailsInTheSwitch lets the wire fail with each step of cutovers and
// rollbacks, under load. No request fails; none is lost nor done twice; there are
// never two writers; and afterwards the same command works.
func TestLinkFailsInTheSwitch(t *testing.T) {
	for kind := range outages {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			testLinkFails(t, kind)
		})
	}
}

func testLinkFails(t *testing.T, kind string) {
	m, pair, w := startWiredMove(t, 100)
	m.load(t, 8, 200*time.Millisecond) // 40 writes a second
	m.sync(t)
	stop := watchWriters(t, m.source.Admin, m.target.Admin)
	truth := migrate.Source
	for _, from := range []migrate.Side{migrate.Source, migrate.Target} {
		for _, step := range migrate.NewSwitch(m.plan(from), nil, nil).Steps() {
			when := fmt.Sprintf("%s at %s from the %s", kind, step.Name, from)
			for tries := 0; truth != from; tries++ {
				if report := m.shift(t, truth); report.Status == journal.Done {
					truth = truth.Other()
				} else if tries == 5 {
					t.Fatalf("%s: the switch before: %+v", when, report.Findings)
				}
			}
			m.writer.Close() // as another command would begin
			m.writer = migratetest.Writer(t, pair)
			held := m.failing(t, w, kind, from, step.Name, when)
			if m.gate.Side() != truth {
				truth = truth.Other()
			}
			expectOneTruth(t, m, truth, when)
			t.Logf("%s: truth now %s, held %v", when, truth, held)
			if held >= outage && step.Name != "open" && !(from == migrate.Target && step.Name == "decide") {
				t.Errorf("%s: clients waited %v", when, held)
			}
			m.more(t, 20)
			if failures := m.clients.Failures(); len(failures) > 0 {
				t.Fatalf("%s: %d requests failed, the first: %v", when, len(failures), failures[0])
			}
		}
	}
	if both := stop(); both > 0 {
		t.Errorf("two writers, seen %d times", both)
	}
	m.clients.Stop()
	m.clients.Audit(t, map[migrate.Side]string{migrate.Source: m.source.Admin, migrate.Target: m.target.Admin}[truth])
}

// failing is a switch during which the wires fail from the beginning of a step on,
// and how long clients waited. It returns when the switch has ended one way or the other.
func (m *move) failing(t *testing.T, w wires, kind string, from migrate.Side, step, when string) time.Duration {
	t.Helper()
	p := m.plan(from)
	p.MaxPause = outagePause
	mended := make(chan struct{})
	close(mended)
	run := journal.Run{ID: when, Kind: p.Kind(), Subject: p.Migration, Payload: p.Payload()}
	outcome, err := m.journal.Run(t.Context(), run, migrate.NewSwitch(p, []*postgres.Writer{m.writer}, m.gate).Steps(), func(e journal.Event) {
		if e.Step != step || e.Moment != journal.StepBegun {
			return
		}
		select {
		case <-mended:
		default:
			return // tried again
		}
		mended = make(chan struct{})
		w.each(outages[kind].begin)
		time.AfterFunc(outage, func() { w.each(outages[kind].end); close(mended) })
	})
	<-mended
	if err != nil {
		t.Logf("%s: %v", when, err)
	}
	for tries := 0; outcome.Status != journal.Done && outcome.Status != journal.Undone; tries++ {
		if outcome, err = m.journal.Resume(t.Context(), run, migrate.NewSwitch(p, []*postgres.Writer{m.writer}, m.gate).Steps(), nil); tries == 5 {
			t.Fatalf("%s: %s, %v", when, outcome.Status, err)
		}
	}
	record, err := m.journal.Record(t.Context(), when)
	if err != nil {
		t.Fatal(err)
	}
	return migrate.NewReport(p, outcome, func(name string) string { return record.Notes[name] }).Held.Total
}

// expectOneTruth: exactly that side accepts writes.
func expectOneTruth(t *testing.T, m *move, truth migrate.Side, when string) {
	t.Helper()
	status, err := migratetest.Reader(t, migratetest.Pair(t, m.source, m.target)).Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if status.Truth != string(truth) || status.Phase == postgres.Split {
		t.Fatalf("%s: want %s as the truth, have %+v", when, truth, status)
	}
}
