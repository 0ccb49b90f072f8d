//go:build linux

package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/jackc/pgx/v5"

	"godwit/internal/api"
	"godwit/internal/report"
	"godwit/internal/site/local"
	"godwit/internal/site/local/postgres"
	"godwit/internal/site/local/warden"
	"godwit/internal/stand"
)

// TestKilledEngine kills the engine with SIGKILL in the middle of a sync, and
// at every step of a cutover and of a rollback, while the tills go on. Each time
// the next engine must finish or undo, exactly one side may be written to, and
// in the end every acknowledged write must be there once.
func TestKilledEngine(t *testing.T) {
	d := up(t, "100")
	d.killAt(t, "database ", "migrate", "sync") // any progress of the copy
	d.settled(t, "source")
	d.do(t, "migrate", "sync")
	for _, at := range []struct{ step, after string }{
		{"… migration datacenter     prepare", "source"},
		{"✓ migration datacenter     hold", "source"},
		{"… migration datacenter     fence", "source"},
		{"✓ migration datacenter     fence", ""},
		{"… migration datacenter     decide", ""},
		{"… migration datacenter     open", ""},
		{"✓ migration datacenter     shift", "target"},
		{"✓ migration datacenter     release", "target"},
		{"… migration datacenter     reverse", "target"},
	} {
		t.Run(at.step, func(t *testing.T) {
			d.home(t)
			shown := d.killAt(t, at.step, "migrate", "cutover")
			if at.after == "source" && strings.Contains(shown, "✓ migration datacenter     fence") {
				t.Log("the engine was faster than the signal: it may have turned")
				at.after = ""
			}
			d.settled(t, at.after)
		})
	}
	d.there(t)
	d.killWarden(t)
	d.settled(t, "target")
	d.killAt(t, "✓ migration datacenter     fence", "migrate", "rollback")
	d.settled(t, "")
	d.there(t)
	d.killAt(t, "✓ migration datacenter     shift", "migrate", "rollback")
	d.settled(t, "source")

	seen, err := d.load.result()
	if err != nil {
		t.Fatal(err)
	}
	// What clients saw: failures are possible, for a dead engine cannot release
	// a hold before its lease ends. Losses are not.
	t.Logf("%d requests, %d failed %v, longest gap %v", seen.Result.Sent, seen.Result.Failed, seen.Result.Reasons, seen.Result.LongestGap)
	if l := seen.Ledger; l.Missing != 0 || l.Duplicated != 0 || l.Acknowledged == 0 {
		t.Errorf("of %d acknowledged writes %d are missing and %d doubled", l.Acknowledged, l.Missing, l.Duplicated)
	}
	for name, n := range seen.Invariants {
		if n != 0 {
			t.Errorf("invariant %s: %d", name, n)
		}
	}
}

// running is a landscape that is up, with its data centre and its load.
type running struct {
	*demo
	site *local.Site
}

// up builds godwit, starts a data centre, brings the landscape up and sends
// requests at a rate.
func up(t *testing.T, rate string) *running {
	t.Helper()
	if problems := local.Check(); len(problems) > 0 {
		t.Skip("needs namespaces: ", local.Lines(problems))
	}
	d := &demo{report: &report.Report{}, Options: Options{Progress: io.Discard, Note: t.Logf}}
	d.Rate, _ = strconv.ParseFloat(rate, 64)
	d.bistro, _ = filepath.Abs("../../examples/bistro")
	d.must(t, d.makeDir())
	t.Cleanup(func() {
		d.Keep = t.Failed()
		if err := d.end(); err != nil {
			t.Error("the end:", err)
		}
		nothingLeft(t, d.dir)
	})
	binary := filepath.Join(d.dir, "godwit")
	if out, err := exec.Command("go", "build", "-o", binary, "../../cmd/godwit").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	d.executable = binary
	ctx := t.Context()
	d.must(t, d.prepare(ctx))
	var err error
	d.load, err = startLoad(ctx, d)
	d.must(t, err)
	inst, err := postgres.Find(ctx)
	d.must(t, err)
	site, err := local.New(local.Config{StateDir: filepath.Join(d.godwit.State, "env"), Postgres: inst})
	d.must(t, err)
	return &running{demo: d, site: site}
}

func (d *demo) must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// do runs a command that must succeed.
func (r *running) do(t *testing.T, args ...string) {
	t.Helper()
	r.must(t, r.godwit.Must(t.Context(), nil, args...))
}

// killAt runs a command and kills the engine when its progress shows a text. It
// returns all progress: the engine goes on until the signal reaches it.
func (r *running) killAt(t *testing.T, text string, args ...string) string {
	t.Helper()
	pid := r.enginePid(t)
	killed := false
	var once sync.Once
	watch := &watcher{text: text, seen: func() {
		once.Do(func() { killed = syscall.Kill(pid, syscall.SIGKILL) == nil })
	}}
	cmd := r.godwit.Command(t.Context(), args...)
	var said bytes.Buffer
	cmd.Stderr, cmd.Stdout = watch, &said
	err := cmd.Run()
	if !killed {
		t.Fatalf("%v ended (%v) without showing %q:\n%s", args, err, text, watch.all.String())
	}
	if strings.Contains(said.String(), "run the command again") {
		t.Errorf("%v did not learn from the next engine how it ended: %s", args, said.String())
	}
	return watch.all.String()
}

// enginePid is who holds the store's lock.
func (r *running) enginePid(t *testing.T) int {
	t.Helper()
	r.do(t, "status") // starts an engine when there is none
	b, err := os.ReadFile(filepath.Join(r.godwit.State, "engine.db.lock"))
	r.must(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	r.must(t, err)
	return pid
}

// status is the migration as a newly started engine sees it.
func (r *running) status(t *testing.T) api.Migration {
	t.Helper()
	var m api.Migration
	r.must(t, r.godwit.Must(t.Context(), &m, "migrate", "status"))
	return m
}

// settled starts the next engine and checks that exactly one side, the one that
// it says, can be written to. want "" is either.
func (r *running) settled(t *testing.T, want string) {
	t.Helper()
	m := r.status(t)
	if want != "" && m.Truth != want {
		t.Errorf("the %s holds the truth, want the %s (phase %s)", m.Truth, want, m.Phase)
	}
	var s api.Status
	r.must(t, r.godwit.Must(t.Context(), &s, "status"))
	if len(s.Unfinished) > 0 {
		t.Errorf("unfinished: %v", s.Unfinished)
	}
	for _, database := range stand.Databases {
		source, target := r.sourceTakes(t, database), r.targetTakes(t, database)
		if source == target || source != (m.Truth == "source") {
			t.Errorf("database %s: source takes writes: %v, target: %v; truth is the %s", database, source, target, m.Truth)
		}
	}
}

// killWarden kills everything of production at once and waits until the engine
// has brought it back.
func (r *running) killWarden(t *testing.T) {
	t.Helper()
	pid, err := warden.Pid(filepath.Join(r.godwit.State, "env", "w", environment))
	r.must(t, err)
	r.must(t, syscall.Kill(pid, syscall.SIGKILL))
	_, err = backoff.Retry(t.Context(), func() (struct{}, error) {
		var s api.Status
		if err := r.godwit.Must(t.Context(), &s, "status"); err != nil {
			return struct{}{}, err
		}
		for _, e := range s.Environments {
			for _, d := range e.Databases {
				if e.Name == environment && !d.Ready {
					return struct{}{}, errors.New(d.Name + " is not back")
				}
			}
		}
		return struct{}{}, nil
	}, backoff.WithBackOff(backoff.NewConstantBackOff(100*time.Millisecond)), backoff.WithMaxElapsedTime(time.Minute))
	r.must(t, err)
}

// home brings the truth back to the source, there to the target.
func (r *running) home(t *testing.T) {
	t.Helper()
	if r.status(t).Truth == "target" {
		r.do(t, "migrate", "rollback")
	}
}

func (r *running) there(t *testing.T) {
	t.Helper()
	if r.status(t).Truth == "source" {
		r.do(t, "migrate", "cutover")
	}
}

func (r *running) sourceTakes(t *testing.T, database string) bool {
	t.Helper()
	config, err := pgx.ParseConfig(r.source.Server.URL(database))
	r.must(t, err)
	return takesWrites(t, config)
}

func (r *running) targetTakes(t *testing.T, database string) bool {
	t.Helper()
	access, err := r.site.Database(t.Context(), environment, database)
	if errors.Is(err, os.ErrNotExist) {
		return false
	}
	r.must(t, err)
	config, err := pgx.ParseConfig(access.URL)
	r.must(t, err)
	config.DialFunc = access.Dial
	config.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil }
	return takesWrites(t, config)
}

// takesWrites tries, as the superuser and insisting on a writable transaction,
// a statement that changes no row of any table. A side without tables takes none.
func takesWrites(t *testing.T, config *pgx.ConnConfig) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	var table *string
	err = conn.QueryRow(ctx, "SELECT min(tablename) FROM pg_tables WHERE schemaname = 'public'").Scan(&table)
	if err != nil || table == nil {
		return false
	}
	_, err = conn.Exec(ctx, fmt.Sprintf("BEGIN READ WRITE; DELETE FROM public.%s WHERE false; COMMIT", pgx.Identifier{*table}.Sanitize()))
	return err == nil
}

// watcher calls seen when a text comes by.
type watcher struct {
	text string
	seen func()
	all  bytes.Buffer
}

func (w *watcher) Write(p []byte) (int, error) {
	w.all.Write(p)
	if bytes.Contains(w.all.Bytes(), []byte(w.text)) {
		w.seen()
	}
	return len(p), nil
}

// nothingLeft checks that no process still has its files or arguments in dir.
func nothingLeft(t *testing.T, dir string) {
	t.Helper()
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range processes {
		cmdline, _ := os.ReadFile(filepath.Join(p, "cmdline"))
		cwd, _ := os.Readlink(filepath.Join(p, "cwd"))
		if bytes.Contains(cmdline, []byte(dir)) || strings.HasPrefix(cwd, dir) {
			t.Errorf("left behind: %s %q in %s", p, bytes.ReplaceAll(cmdline, []byte{0}, []byte{' '}), cwd)
		}
	}
	mounts, _ := os.ReadFile("/proc/self/mounts")
	if bytes.Contains(mounts, []byte(dir)) {
		t.Errorf("left behind: a mount in %s", dir)
	}
}
