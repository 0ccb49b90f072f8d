//go:build linux

package local_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"godwit/internal/fleet"
	"godwit/internal/landscape"
	"godwit/internal/site"
	"godwit/internal/site/local"
	"godwit/internal/site/local/warden"
	"godwit/internal/site/sitetest"
	"godwit/internal/testtool"
)

func TestContract(t *testing.T) {
	var benches sync.Map // by site
	sitetest.Run(t, sitetest.Harness{
		New: func(t *testing.T) site.Site {
			b := newBench(t)
			benches.Store(site.Site(b.Site), b)
			return b.Site
		},
		Landscape: bistro(), Release: release("", "till", 0, 0, ""), Good: shared.good, Bad: shared.bad,
		Request: func(_ context.Context, s site.Site, environment, service string) error {
			b := find(&benches, s)
			b.route(environment, service)
			_, err := b.get(environment, service, "/")
			return err
		},
		Begin: func(t *testing.T, s site.Site, environment, service string) func() {
			b := find(&benches, s)
			b.route(environment, service)
			return b.begin(environment, service)
		},
		Die: func(t *testing.T, s site.Site, environment string) { find(&benches, s).killWarden(environment) },
		Silence: func(t *testing.T, s site.Site, environment string) {
			b := find(&benches, s)
			pid, err := warden.Pid(filepath.Join(b.config.StateDir, "w", environment))
			b.ok(err)
			testtool.Hang(t, pid) // the site ends it, or the test's Remove kills it
		},
	})
}

func find(benches *sync.Map, s site.Site) *bench {
	b, _ := benches.Load(s)
	return b.(*bench)
}

// begin sends a request that is being served when it returns.
func (b *bench) begin(environment, service string) (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+b.gateway.Addr()+"/slow?for=1m", nil)
	b.ok(err)
	req.Host = service + "." + environment + ".example"
	resp, err := http.DefaultClient.Do(req)
	b.ok(err)
	return func() {
		cancel()
		resp.Body.Close()
	}
}

// TestNamesAndDatabase: services find each other and their database by name; what an
// instance is told is what it gets.
func TestNamesAndDatabase(t *testing.T) {
	b := newBench(t)
	b.apply(bistro(), "test")
	b.up(release("test", "menu", 1, 2, shared.good))
	b.up(release("test", "till", 1, 2, shared.good))
	b.route("test", "till")
	if got := b.must("test", "till", "/get?url=http://menu.svc.internal:8080/"); got != "menu-1" {
		t.Errorf("menu by name: %q", got)
	}
	var env []string
	b.ok(json.Unmarshal([]byte(b.must("test", "till", "/env")), &env))
	if all := strings.Join(env, "\n"); !strings.Contains(all, "MENU_URL=http://menu.svc.internal:8080") ||
		!strings.Contains(all, "DATABASE_URL=postgres://till:") {
		t.Errorf("environment: %s", all)
	}
	access, err := b.Database(t.Context(), "test", "till")
	b.ok(err)
	owner := b.value("select pg_get_userbyid(datdba) from pg_database where datname = current_database()")
	if owner != access.Owner {
		t.Errorf("owner %q, want %q", owner, access.Owner)
	}
}

// connect to the database of environment test as its administrator.
func (b *bench) connect() *pgx.Conn {
	b.Helper()
	access, err := b.Database(b.Context(), "test", "till")
	b.ok(err)
	config, err := pgx.ParseConfig(access.URL)
	b.ok(err)
	config.DialFunc = access.Dial
	conn, err := pgx.ConnectConfig(b.Context(), config)
	b.ok(err)
	b.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// value of a query.
func (b *bench) value(query string) (value string) {
	b.Helper()
	b.ok(b.connect().QueryRow(b.Context(), query).Scan(&value))
	return value
}

// TestWardenKilled: the environment is seen dead, and comes back with its data.
func TestWardenKilled(t *testing.T) {
	b := newBench(t)
	b.apply(bistro(), "test")
	b.up(release("test", "till", 1, 2, shared.good))
	b.route("test", "till")
	_, err := b.connect().Exec(t.Context(), "create table kept as select 'here' as n")
	b.ok(err)
	b.killWarden("test")
	e, err := b.Observe(t.Context(), "test")
	b.ok(err)
	if e.Databases[0].Ready {
		t.Error("the database of a dead environment is ready")
	}
	if i := till(e).Instances; len(i) != 2 || i[0].State != fleet.Dead {
		t.Errorf("instances of a dead environment: %+v", i)
	}
	b.ok(b.Apply(t.Context(), bistro(), "test"))
	b.ok(b.Launch(t.Context(), release("test", "till", 1, 2, shared.good)))
	if got := b.must("test", "till", "/"); got != "till-1" {
		t.Errorf("served %q", got)
	}
	if got := b.value("select n from kept"); got != "here" {
		t.Errorf("the data is %q", got)
	}
}

func till(e site.Environment) fleet.Fleet {
	i := slices.IndexFunc(e.Fleets, func(f fleet.Fleet) bool { return f.Service == "till" })
	return e.Fleets[i]
}

func (b *bench) killWarden(environment string) {
	b.Helper()
	dir := filepath.Join(b.config.StateDir, "w", environment)
	pid, err := warden.Pid(dir)
	b.ok(err)
	b.ok(syscall.Kill(pid, syscall.SIGKILL))
	b.ok(warden.Wait(b.Context(), dir))
}

// TestAdopted: another site over the same state, as after a crash of the
// engine, finds everything and goes on.
func TestAdopted(t *testing.T) {
	b := newBench(t)
	b.apply(bistro(), "test")
	b.up(release("test", "till", 1, 2, shared.good))
	before, err := b.Observe(t.Context(), "test")
	b.ok(err)
	relay, err := b.OpenRelay(t.Context(), "test", "till", "127.0.0.1:1")
	b.ok(err)
	b.Site = b.open()
	after, err := b.Observe(t.Context(), "test")
	b.ok(err)
	x, _ := json.Marshal(before)
	y, _ := json.Marshal(after)
	if string(x) != string(y) {
		t.Errorf("before %s\nafter  %s", x, y)
	}
	again, err := b.OpenRelay(t.Context(), "test", "till", "127.0.0.1:1")
	if err != nil || again != relay {
		t.Errorf("the relay is %+v, %v; was %+v", again, err, relay)
	}
	b.up(release("test", "till", 2, 1, shared.good))
	b.ok(b.Retire(t.Context(), "test", "till", 1))
}

// TestUnreadySaysWhy: the error of a launch has the last words of the instance.
func TestUnreadySaysWhy(t *testing.T) {
	b := newBench(t)
	b.apply(bistro(), "test")
	err := b.Launch(t.Context(), release("test", "till", 1, 1, shared.bad))
	if !errors.Is(err, site.ErrUnready) || !strings.Contains(err.Error(), "the guest crashes") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("error: %v", err)
	}
	sick := release("test", "till", 2, 1, shared.good)
	sick.Env["SICK"] = landscape.Literal("yes")
	b.config.LaunchTimeout = time.Second
	err = b.open().Launch(t.Context(), sick)
	if !errors.Is(err, site.ErrUnready) || !strings.Contains(err.Error(), "/healthz answered 500") {
		t.Errorf("error: %v", err)
	}
}

// TestLogs: by service, by database, by instance; the end only; going on.
func TestLogs(t *testing.T) {
	b := newBench(t)
	b.apply(bistro(), "test")
	b.up(release("test", "till", 1, 2, shared.good))
	read := func(name string, tail int) map[string]int {
		lines := map[string]int{}
		b.ok(b.Logs(t.Context(), "test", name, tail, false, func(instance, _ string) { lines[instance]++ }))
		return lines
	}
	if got := read("till", -1); got["till-1-1"] != 1 || got["till-1-2"] != 1 || len(got) != 2 {
		t.Errorf("logs of a service: %v", got)
	}
	if got := read("db.till", 1); got["db.till"] != 1 {
		t.Errorf("end of a database's log: %v", got)
	}
	if got := read("", -1); len(got) != 3 {
		t.Errorf("all logs: %v", got)
	}
	err := b.Logs(t.Context(), "test", "nobody", -1, false, func(string, string) {})
	if !errors.Is(err, site.ErrNotFound) {
		t.Errorf("logs of nobody: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	b.route("test", "till")
	b.must("test", "till", "/")   // something to serve before the end
	end := sync.OnceFunc(func() { // ends one instance, which says so
		go func() {
			_ = warden.NewClient(filepath.Join(b.config.StateDir, "w", "test")).Stop(ctx, "till-1-1")
		}()
	})
	b.ok(b.Logs(ctx, "test", "till-1-1", -1, true, func(_, text string) {
		end() // the log has been read: what it says now is new
		if strings.HasSuffix(text, "the guest ends as asked") {
			cancel()
		}
	}))
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		t.Error("following the log did not show its new line")
	}
}

// TestWithoutIsolation: the same landscape as plain processes.
func TestWithoutIsolation(t *testing.T) {
	b := newBench(t, func(c *local.Config) { c.Isolation = local.IsolationNone })
	b.apply(bistro(), "test")
	b.up(release("test", "menu", 1, 2, shared.good))
	b.up(release("test", "till", 1, 2, shared.good))
	b.route("test", "till")
	var env []string
	b.ok(json.Unmarshal([]byte(b.must("test", "till", "/env")), &env))
	i := slices.IndexFunc(env, func(e string) bool { return strings.HasPrefix(e, "MENU_URL=") })
	menu := strings.TrimPrefix(env[i], "MENU_URL=")
	if got := b.must("test", "till", "/get?url="+menu); got != "menu-1" {
		t.Errorf("menu at %s: %q", menu, got)
	}
	if got := b.value("select current_user::text"); got != "godwit" {
		t.Errorf("administrator %q", got)
	}
	if _, err := b.CheckIsolation(t.Context(), bistro()); !errors.Is(err, site.ErrUnsupported) {
		t.Errorf("packet test without isolation: %v", err)
	}
	if got := b.Abilities().Isolation; got != "none" {
		t.Errorf("isolation %q", got)
	}
}

// TestNothingLeft: after Remove no file and no process of the environment is there.
func TestNothingLeft(t *testing.T) {
	b := newBench(t)
	b.ok(b.Apply(t.Context(), bistro(), "test"))
	b.up(release("test", "till", 1, 1, shared.good))
	relay, err := b.OpenRelay(t.Context(), "test", "till", "127.0.0.1:1")
	b.ok(err)
	b.ok(b.Remove(t.Context(), "test"))
	for _, dir := range []string{"w", "data", "records"} {
		entries, err := os.ReadDir(filepath.Join(b.config.StateDir, dir))
		b.ok(err)
		for _, e := range entries {
			t.Errorf("left: %s/%s", dir, e.Name())
		}
	}
	if n := processesWith(t, b.config.StateDir); n > 0 {
		t.Errorf("%d processes left; the relay was %+v", n, relay)
	}
}

// processesWith counts processes that have a path open.
func processesWith(t *testing.T, path string) int {
	t.Helper()
	links, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, l := range links {
		pid := strings.Split(l, "/")[2]
		if target, err := os.Readlink(l); err == nil && strings.HasPrefix(target, path) && pid != fmt.Sprint(os.Getpid()) {
			seen[pid] = true
		}
	}
	return len(seen)
}
