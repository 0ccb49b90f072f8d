package migrate_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"godwit/internal/journal"
	"godwit/internal/migrate"
	"godwit/internal/migrate/migratetest"
	"godwit/internal/migrate/postgres"
	"godwit/internal/store"
)

// engine is what a process needs to run or resume a switch, and when to die.
type engine struct {
	Source, Target string // URLs
	Gate, Store    string // paths
	Plan           migrate.Plan
	Run            string
	Resume         bool
	Generation     uint64
	Step           string // die in or after this step; "" lives
	After          bool
	Delay          time.Duration  // into the step
	Undone         string         // die right after this step is undone
	Sync           bool           // sync instead, and die after Delay
	Apply          *migrate.Apply // change definitions instead
}

const engineVariable = "GODWIT_MIGRATE_TEST_ENGINE"

func TestMain(m *testing.M) {
	if text := os.Getenv(engineVariable); text != "" {
		var e engine
		if err := json.Unmarshal([]byte(text), &e); err != nil {
			panic(err)
		}
		if err := e.main(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// main runs or resumes the switch and prints its outcome.
func (e engine) main() error {
	s, err := store.Open(e.Store)
	if err != nil {
		return err
	}
	defer s.Close()
	pair := postgres.Pair{Migration: e.Plan.Migration, Database: "shop", Owner: migratetest.Owner, State: "test"}
	for _, side := range []struct {
		side *postgres.Side
		url  string
	}{{&pair.Source, e.Source}, {&pair.Target, e.Target}} {
		if side.side.Config, err = postgres.ParseURL(side.url); err != nil {
			return err
		}
		side.side.Peer = postgres.Address(side.side.Config)
	}
	writer := postgres.NewWriter(pair, e.Generation)
	defer writer.Close()
	if e.Sync {
		time.AfterFunc(e.Delay, die)
		return writer.Sync(context.Background(), nil)
	}
	run := journal.Run{ID: e.Run, Kind: e.Plan.Kind(), Subject: "shop", Payload: e.Plan.Payload()}
	steps := migrate.NewSwitch(e.Plan, []*postgres.Writer{writer}, migratetest.DialGate(e.Gate)).Steps()
	if e.Apply != nil {
		run.Kind, run.Payload = migrate.KindApply, e.Apply.Payload()
		steps = migrate.ApplySteps(*e.Apply, e.Run, writer)
	}
	for i := range steps {
		if steps[i].Name == e.Step {
			steps[i].Do = e.deadly(steps[i].Do)
		}
		if steps[i].Name == e.Undone {
			after := e
			after.After = true
			steps[i].Undo = after.deadly(steps[i].Undo)
		}
	}
	do := journal.Open(s).Run
	if e.Resume {
		do = journal.Open(s).Resume
	}
	outcome, err := do(context.Background(), run, steps, nil)
	fmt.Println(outcome.Status)
	if err != nil && outcome.Status == "" {
		return err
	}
	if err != nil && !errors.Is(err, journal.ErrInterrupted) {
		fmt.Fprintln(os.Stderr, err)
	}
	return nil
}

func die() { syscall.Kill(os.Getpid(), syscall.SIGKILL) }

// deadly kills this process in, or right after, do.
func (e engine) deadly(do func(context.Context, *journal.Notes) error) func(context.Context, *journal.Notes) error {
	return func(ctx context.Context, n *journal.Notes) error {
		if !e.After {
			time.AfterFunc(e.Delay, die)
		}
		err := do(ctx, n)
		die()
		return err
	}
}

// start runs an engine to its end, and returns the outcome that it printed.
func (e engine) start(t *testing.T) (status string) {
	t.Helper()
	e.Generation = migratetest.Generation()
	text, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), engineVariable+"="+string(text))
	var failure strings.Builder
	cmd.Stderr = &failure
	out, err := cmd.Output()
	var exit *exec.ExitError
	killed := errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL
	if err != nil && !killed || !e.Sync && killed != (e.Step != "" || e.Undone != "") {
		t.Fatalf("engine %+v: %v: %s", e, err, failure.String())
	}
	if failure.Len() > 0 {
		t.Log(failure.String())
	}
	return strings.TrimSpace(string(out))
}

// watchWriters looks all the time whether both sides accept a write at once.
func watchWriters(t *testing.T, source, target string) (stop func() int) {
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	looks, both := 0, 0
	done.Add(1)
	go func() {
		defer done.Done()
		conns := map[string]*pgx.Conn{}
		for ctx.Err() == nil {
			looks++
			if accepts(ctx, conns, source) && accepts(ctx, conns, target) && accepts(ctx, conns, source) {
				both++
			}
		}
		for _, conn := range conns {
			conn.Close(context.Background())
		}
	}()
	return func() int {
		cancel()
		done.Wait()
		t.Logf("looked %d times whether there are two writers", looks)
		return both
	}
}

// accepts tries a write of a superuser that asks for it, without effect.
func accepts(ctx context.Context, conns map[string]*pgx.Conn, url string) bool {
	conn := conns[url]
	if conn == nil || conn.IsClosed() {
		var err error
		if conn, err = pgx.Connect(ctx, url); err != nil {
			return false
		}
		conns[url] = conn
	}
	_, err := conn.PgConn().Exec(ctx, `BEGIN READ WRITE; UPDATE "order" SET note = note WHERE false; ROLLBACK`).ReadAll()
	if err != nil && !conn.IsClosed() {
		conn.Exec(ctx, "ROLLBACK")
	}
	return err == nil
}

// TestKilledEngine kills the engine in and after every step of cutovers and
// rollbacks under load, and lets another one resume.
func TestKilledEngine(t *testing.T) {
	m := startMove(t, 100)
	m.load(t, 8, 20*time.Millisecond)
	m.sync(t)
	m.writer.Close()
	stop := watchWriters(t, m.source.Admin, m.target.Admin)
	socket, dir := m.gate.Serve(t), filepath.Join(t.TempDir(), "store")
	truth := migrate.Source
	ended := map[string]int{}
	for i, step := range migrate.NewSwitch(m.plan(truth), nil, nil).Steps() {
		for _, after := range []bool{false, true} {
			e := engine{Source: m.source.Admin, Target: m.target.Admin, Gate: socket, Store: dir, Plan: m.plan(truth),
				Run: fmt.Sprint("run-", i, after), Step: step.Name, After: after, Delay: rand.N(3 * time.Millisecond)}
			e.start(t)
			e.Step, e.Resume = "", true
			status := e.start(t)
			ended[status]++
			if status == string(journal.Done) {
				truth = truth.Other()
			} else if status != string(journal.Undone) {
				t.Fatalf("killed at %s (after: %v): ended as %q", step.Name, after, status)
			}
			expectTruth(t, m, truth, fmt.Sprintf("killed at %s (after: %v)", step.Name, after))
			m.more(t, 10)
		}
	}
	if both := stop(); both > 0 {
		t.Errorf("two writers, seen %d times", both)
	}
	m.renew(t)
	v, err := m.writer.Verify(t.Context(), nil)
	if err != nil || len(v.Differing) > 0 || len(v.Behind) > 0 {
		t.Errorf("verify: %+v, %v", v, err)
	}
	m.clients.Stop()
	m.clients.Audit(t, map[migrate.Side]string{migrate.Source: m.source.Admin, migrate.Target: m.target.Admin}[truth])
	t.Logf("ended %v; %d writes acknowledged, %d on the target, clients saw %d failures", ended, m.clients.Acked(),
		m.clients.AckedOn(migrate.Target), len(m.clients.Failures()))
	for _, err := range m.clients.Failures()[:min(3, len(m.clients.Failures()))] {
		t.Log(err)
	}
}

// TestEngineStaysDead kills the engine inside the write pause, and nobody starts
// another one: clients are let go when their lease ends, to a side that takes
// writes. None fails.
func TestEngineStaysDead(t *testing.T) {
	m := startMove(t, 100)
	m.load(t, 8, 50*time.Millisecond)
	m.sync(t)
	m.writer.Close()
	stop := watchWriters(t, m.source.Admin, m.target.Admin)
	socket, dir := m.gate.Serve(t), filepath.Join(t.TempDir(), "store")
	truth := migrate.Source
	for i, c := range []struct {
		step string
		goes bool // to the other side
	}{{"drain", false}, {"fence", false}, {"catch-up", false}, {"open", true}, {"catch-up", false}, {"open", true}} {
		when := fmt.Sprintf("dead after %s from the %s", c.step, truth)
		p := m.plan(truth)
		p.MaxPause = 2 * time.Second
		e := engine{Source: m.source.Admin, Target: m.target.Admin, Gate: socket, Store: dir, Plan: p, Run: fmt.Sprint("run-", i), Step: c.step, After: true}
		e.start(t)
		if c.goes {
			truth = truth.Other()
		}
		before := m.clients.AckedOn(truth)
		migratetest.Eventually(t, when+": clients write on the "+string(truth), func() bool { return m.clients.AckedOn(truth) > before+20 })
		if failures := m.clients.Failures(); len(failures) > 0 {
			t.Fatalf("%s: %d requests failed, the first: %v", when, len(failures), failures[0])
		}
		e.Step, e.Resume = "", true
		e.start(t)
		expectTruth(t, m, truth, when)
		m.more(t, 10)
	}
	if both := stop(); both > 0 {
		t.Errorf("two writers, seen %d times", both)
	}
	if failures := m.clients.Failures(); len(failures) > 0 {
		t.Errorf("%d requests failed, the first: %v", len(failures), failures[0])
	}
	m.clients.Stop()
	m.clients.Audit(t, map[migrate.Side]string{migrate.Source: m.source.Admin, migrate.Target: m.target.Admin}[truth])
}

// TestKilledAgainWhileUndoing kills the engine behind the fence, and the one
// that takes it back after each thing it took back.
func TestKilledAgainWhileUndoing(t *testing.T) {
	m := startMove(t, 100)
	m.load(t, 8, 20*time.Millisecond)
	m.sync(t)
	m.writer.Close()
	socket, dir := m.gate.Serve(t), filepath.Join(t.TempDir(), "store")
	for i, undone := range []string{"decide", "fence", "hold", "prepare"} {
		e := engine{Source: m.source.Admin, Target: m.target.Admin, Gate: socket, Store: dir, Plan: m.plan(migrate.Source),
			Run: fmt.Sprint("run-", i), Step: "decide", After: true}
		e.start(t)
		e.Step, e.Resume, e.Undone = "", true, undone
		e.start(t)
		e.Undone = ""
		if status := e.start(t); status != string(journal.Undone) {
			t.Fatalf("killed after undoing %s: ended as %q", undone, status)
		}
		expectTruth(t, m, migrate.Source, "killed after undoing "+undone)
		m.more(t, 10)
	}
	m.renew(t)
	if report := m.shift(t, migrate.Source); report.Status != journal.Done {
		t.Errorf("a switch afterwards: %+v", report.Findings)
	}
	m.clients.Stop()
	m.clients.Audit(t, m.target.Admin)
}

// TestKilledWhileSyncing kills the engine at any time in a sync, again and
// again: the next one goes on.
func TestKilledWhileSyncing(t *testing.T) {
	m := startMove(t, 50_000)
	m.load(t, 4, 20*time.Millisecond)
	for i := range 8 {
		e := engine{Source: m.source.Admin, Target: m.target.Admin, Plan: m.plan(migrate.Source), Sync: true,
			Store: filepath.Join(t.TempDir(), "store"), Delay: 20*time.Millisecond + time.Duration(i)*40*time.Millisecond + rand.N(40*time.Millisecond)}
		e.start(t)
	}
	m.renew(t)
	m.sync(t)
	m.more(t, 20)
	v, err := m.writer.Verify(t.Context(), nil)
	if err != nil || len(v.Differing) > 0 || v.Rows < 50_000 {
		t.Errorf("verify: %+v, %v", v, err)
	}
	if failures := m.clients.Failures(); len(failures) > 0 {
		t.Errorf("%d requests failed, the first: %v", len(failures), failures[0])
	}
	if report := m.shift(t, migrate.Source); report.Status != journal.Done {
		t.Errorf("a switch afterwards: %+v", report.Findings)
	}
	m.clients.Stop()
	m.clients.Audit(t, m.target.Admin)
}

// expectTruth: exactly one side accepts writes, and the route points to it.
func expectTruth(t *testing.T, m *move, truth migrate.Side, when string) {
	t.Helper()
	reader := postgres.NewReader(migratetest.Pair(t, m.source, m.target))
	defer reader.Close()
	status, err := reader.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if status.Truth != string(truth) || status.Phase == postgres.Split || m.gate.Side() != truth {
		t.Fatalf("%s: want %s as the truth, have %+v and the route at %s", when, truth, status, m.gate.Side())
	}
}
