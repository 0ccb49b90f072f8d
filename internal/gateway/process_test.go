package gateway

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"godwit/internal/fleet"
	"godwit/internal/lockfile"
	"godwit/internal/sockets"
)

// process is a gateway as a process of its own.
type process struct {
	*exec.Cmd
	Ready
}

func startProcess(t *testing.T, listen, admin, state string, env ...string) *process {
	t.Helper()
	args := []string{"/proc/self/exe", "gateway", "--listen", listen, "--admin", admin, "--state", state}
	for _, pair := range env {
		if socket, ok := strings.CutPrefix(pair, "GATEWAY_TEST_HANDOVER="); ok {
			args = append(args, "--handover", socket)
		}
	}
	return startCommand(t, args, env...)
}

func startCommand(t *testing.T, args []string, env ...string) *process {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), env...)
	return begin(t, cmd)
}

// begin starts a gateway's process and waits until it serves.
func begin(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	p := &process{Cmd: cmd}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		t.Fatalf("the gateway did not get ready: %v", err)
	}
	if err := json.Unmarshal(line, &p.Ready); err != nil {
		t.Fatal(err)
	}
	return p
}

// adminCall makes one raw call on an admin socket.
func adminCall(t *testing.T, socket, method, path, body string) (int, string) {
	t.Helper()
	c := newUnixClient(socket)
	defer c.CloseIdleConnections()
	req, err := http.NewRequest(method, "http://gateway"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	got := fetch(c, req)
	if got.err != nil {
		t.Fatalf("%s %s: %v", method, path, got.err)
	}
	return got.status, got.body
}

// TestTheTableSurvivesKill: each change that was answered is there after a
// kill -9 at once afterwards, without an engine.
func TestTheTableSurvivesKill(t *testing.T) {
	t.Parallel()
	dir := testDir(t)
	admin, state := filepath.Join(dir, "admin"), filepath.Join(dir, "table.json")
	b := newBackend(t, says("here"))
	pool, _ := json.Marshal(one(b.endpoint("a", 1)))
	for round := range 3 {
		p := startProcess(t, "127.0.0.1:0", admin, state)
		client := newHTTPClient(p.Listen)
		for old := range round {
			req, _ := http.NewRequest("GET", "http://"+p.Listen, nil)
			req.Host = fmt.Sprintf("h%d.example", old)
			fetch(client, req).want(t, 200, "here")
		}
		name := fmt.Sprintf("production/p%d", round)
		if status, body := adminCall(t, admin, "PUT", "/pools/"+name, string(pool)); status != 200 {
			t.Fatalf("%d %s", status, body)
		}
		if status, body := adminCall(t, admin, "PUT", "/routes", fmt.Sprintf(`{"h%d.example":%q}`, round, name)); status != 200 {
			t.Fatalf("%d %s", status, body)
		}
		p.Process.Signal(syscall.SIGKILL)
		p.Wait()
		client.CloseIdleConnections()
	}
}

func summed(line string) string { return line + "\n" + checksum([]byte(line)) }

// TestNoOtherTableIsReadFromADamagedFile: cut anywhere, or with any bit wrong,
// the file is no table.
func TestNoOtherTableIsReadFromADamagedFile(t *testing.T) {
	t.Parallel()
	f := stateFile{filepath.Join(testDir(t), "table.json")}
	table := Table{
		Version: 7, Routes: map[string]Route{host: {Pool: "p"}},
		Pools: map[string]Pool{"p": one(Endpoint{ID: "a", Address: "127.0.0.1:4711", Release: 1})},
	}
	if err := f.save(table); err != nil {
		t.Fatal(err)
	}
	whole, _ := os.ReadFile(f.path)
	if got, err := parseTable(whole); err != nil || !reflect.DeepEqual(got, table) {
		t.Fatalf("%+v %v", got, err)
	}
	for i := range whole {
		if _, err := parseTable(whole[:i]); err == nil {
			t.Errorf("cut after %d bytes it is a table", i)
		}
		for bit := range 8 {
			damaged := bytes.Clone(whole)
			damaged[i] ^= 1 << bit
			if _, err := parseTable(damaged); err == nil {
				t.Errorf("with bit %d of byte %d wrong it is a table", bit, i)
			}
		}
	}
}

func TestAFullDiskChangesNothing(t *testing.T) {
	t.Parallel()
	r := serving(t, one(newBackend(t, says("served")).endpoint("a", 1)))
	before := r.control.Table()
	if err := os.Symlink("/dev/full", r.cfg.State+".tmp"); err != nil {
		t.Fatal(err)
	}
	_, err := r.control.SetRoutes(map[string]string{"other.example": "production/till"})
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("saved on a full disk: %v", err)
	}
	if after := r.control.Table(); !reflect.DeepEqual(after, before) {
		t.Errorf("%+v became %+v", before, after)
	}
	r.do("GET", "/", "").want(t, 200, "served")
	if stored, err := (stateFile{r.cfg.State}).load(r.cfg.Log); err != nil || !reflect.DeepEqual(stored, before) {
		t.Errorf("on disk: %+v %v", stored, err)
	}
	os.Remove(r.cfg.State + ".tmp")
	r.route("other.example", "production/till")
}

// TestRestartAtOnceOnTheSamePort: connections of a killed gateway linger in the
// kernel and must not keep the next one from the port.
func TestRestartAtOnceOnTheSamePort(t *testing.T) {
	t.Parallel()
	dir := testDir(t)
	admin, state := filepath.Join(dir, "admin"), filepath.Join(dir, "table.json")
	listen := "127.0.0.1:0"
	for range 4 {
		p := startProcess(t, listen, admin, state)
		listen = p.Listen
		client := newHTTPClient(listen)
		req, _ := http.NewRequest("GET", "http://"+host, nil)
		fetch(client, req).want(t, 404, "*")
		p.Process.Signal(syscall.SIGKILL)
		p.Wait()
		client.CloseIdleConnections()
	}
}

func TestACorruptTableIsMovedAside(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{
		"empty":        "",
		"half":         `{"version":3,"pools":{"a":{"endpo`,
		"binary":       "\x00\xff\xfe",
		"other":        summed(`{"hello":1}`),
		"null":         summed(`null`),
		"no maps":      summed(`{"version":1}`),
		"no checksum":  `{"version":1,"pools":{},"routes":{}}`,
		"lost pool":    summed(`{"version":1,"pools":{},"routes":{"h":{"pool":"x"}}}`),
		"bad endpoint": summed(`{"version":1,"pools":{"p":{"endpoints":[{"id":"a","address":"nowhere","release":1}],"weights":{"1":1}}},"routes":{}}`),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := testConfig(t)
			if err := os.WriteFile(cfg.State, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			r := startWith(t, cfg)
			r.do("GET", "/", "").want(t, 404, "*")
			aside, _ := filepath.Glob(cfg.State + ".corrupt-*")
			if len(aside) != 1 {
				t.Fatalf("moved aside: %v", aside)
			}
			if kept, _ := os.ReadFile(aside[0]); string(kept) != content {
				t.Errorf("what was moved aside is not what was there: %q", kept)
			}
		})
	}
}

func TestAChangeThatCannotBeSavedIsNotMade(t *testing.T) {
	t.Parallel()
	r := serving(t, Pool{})
	before := r.control.Table()
	if err := os.Mkdir(r.cfg.State+".tmp", 0o700); err != nil { // in the way of the temporary file
		t.Fatal(err)
	}
	if _, err := r.control.SetPool("production/menu", Pool{}); err == nil {
		t.Fatal("no error")
	}
	if after := r.control.Table(); after.Version != before.Version || len(after.Pools) != len(before.Pools) {
		t.Errorf("the table changed: %+v", after)
	}
}

// TestReplacementUnderLoad: a new gateway takes over from a running one, twice,
// while clients with kept connections and clients that connect anew for each
// request go on. No request may fail.
func TestReplacementUnderLoad(t *testing.T) {
	t.Parallel()
	b := newBackend(t, says("served"))
	cfg := testConfig(t)
	cfg.Log, cfg.FarewellTime = nil, 300*time.Millisecond
	r := startWith(t, cfg)
	r.pool("production/till", one(b.endpoint("a", 1)))
	r.route(host, "production/till")

	stop := make(chan struct{})
	var sent atomic.Int64
	var clients sync.WaitGroup
	fresh := newHTTPClient(r.Addr())
	fresh.Transport.(*http.Transport).DisableKeepAlives = true
	for i := range 6 {
		clients.Go(func() {
			tick := time.NewTicker(10 * time.Millisecond) // 600 requests per second together
			defer tick.Stop()
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				case <-tick.C:
				}
				c := []*http.Client{r.client, fresh}[i%2]
				if got := fetch(c, r.request([]string{"GET", "POST"}[n%2], "/", "")); got.err != nil || got.status != 200 {
					t.Errorf("failed: %+v", got)
				}
				sent.Add(1)
			}
		})
	}
	current := r
	for range 2 {
		before := sent.Load()
		until(t, "load", func() bool { return sent.Load() > before+100 })
		counted := current.traffic(1).Requests
		cfg.Listen = r.Addr()
		next := startWith(t, cfg)
		if now := next.traffic(1).Requests; now < counted {
			t.Errorf("counters went back from %d to %d", counted, now)
		}
		if _, err := current.control.SetPool("x", Pool{}); !errors.Is(err, ErrSuperseded) {
			t.Errorf("the old gateway still takes changes: %v", err)
		}
		if err := <-current.done; err != nil {
			t.Fatal(err)
		}
		current.done <- nil
		<-next.control.predecessor
		current = next
	}
	close(stop)
	clients.Wait()
	if n := sent.Load(); n < 200 {
		t.Errorf("only %d requests were sent", n)
	}
	if status, _ := adminCall(t, cfg.Admin, "GET", "/healthz", ""); status != 200 {
		t.Errorf("admin socket: %d", status)
	}
}

// TestDrainedAfterReplacement: what the old gateway still has in flight counts.
func TestDrainedAfterReplacement(t *testing.T) {
	t.Parallel()
	finish := make(chan struct{})
	b := newBackend(t, func(w http.ResponseWriter, r *http.Request) { met(t, finish); io.WriteString(w, "done") })
	cfg := testConfig(t)
	cfg.Log = nil
	old := startWith(t, cfg)
	old.pool("production/till", one(b.endpoint("a", 1)))
	old.route(host, "production/till")
	got := make(chan result, 1)
	go func() { got <- old.do("POST", "/", "") }()
	until(t, "in flight", func() bool { return b.hits.Load() == 1 })
	cfg.Listen = old.Addr()
	fresh := startWith(t, cfg)
	fresh.hold("h", time.Minute)
	drained := make(chan error, 1)
	go func() { drained <- fresh.control.Drained(deadline(t, 20*time.Second), "h", 0) }()
	select {
	case err := <-drained:
		t.Fatalf("drained while the old gateway has a request in flight: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	close(finish)
	(<-got).want(t, 200, "done")
	if err := <-drained; err != nil {
		t.Fatal(err)
	}
}

func TestAHoldForbidsReplacement(t *testing.T) {
	t.Parallel()
	b := newBackend(t, says("served"))
	cfg := testConfig(t)
	r := startWith(t, cfg)
	r.pool("production/till", one(b.endpoint("a", 1)))
	r.route(host, "production/till")
	r.hold("cutover", time.Minute)
	if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), `hold "cutover" is active`) {
		t.Fatalf("took over from a gateway that holds requests: %v", err)
	}
	r.control.Release("cutover")
	cfg.Listen = "127.0.0.1:1"
	if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), "already listens") {
		t.Fatalf("took over another address: %v", err)
	}
	r.do("GET", "/", "").want(t, 200, "served") // goes on as if nothing had been
	r.pool("production/menu", Pool{Weights: fleet.Weights{1: 1}})
}

// TestSilentHeirs: thousands that connect to the hand-over socket and say nothing
// freeze no table, and keep no gateway from taking over.
func TestSilentHeirs(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	old := startWith(t, cfg)
	for range 2000 {
		c, err := net.Dial("unix", cfg.handoverSocket())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	old.pool("production/till", Pool{Weights: fleet.Weights{1: 1}})
	cfg.Listen = old.Addr()
	next := startWith(t, cfg)
	if _, ok := next.control.Table().Pools["production/till"]; !ok {
		t.Error("the table did not come with the listener")
	}
}

// TestSocketsOutlive: a gateway that was given its sockets serves at them, a
// killed one's clients wait for the next, and an heir gets them with the lock of
// the role, which says whose it is.
func TestSocketsOutlive(t *testing.T) {
	t.Parallel()
	dir := testDir(t)
	kept, path := &sockets.Set{}, filepath.Join(dir, "lock")
	t.Cleanup(kept.Close)
	clients, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	admin, err := net.Listen("unix", filepath.Join(dir, "admin"))
	if err != nil {
		t.Fatal(err)
	}
	for name, ln := range map[string]net.Listener{sockets.Clients: clients, sockets.Admin: admin} {
		if err := kept.Keep(name, ln.(syscall.Conn)); err != nil {
			t.Fatal(err)
		}
		if u, ok := ln.(*net.UnixListener); ok {
			u.SetUnlinkOnClose(false)
		}
		ln.Close()
	}
	args := []string{"--admin", filepath.Join(dir, "admin"), "--state", filepath.Join(dir, "table"), "--handover", filepath.Join(dir, "heirs"), "--listen", clients.Addr().String()}
	first := startGiven(t, kept, path, args)
	if pid := lockfile.Owner(path); pid != first.PID {
		t.Errorf("the lock is that of %d, not of %d", pid, first.PID)
	}
	first.Process.Signal(syscall.SIGKILL)
	first.Wait()
	answered := make(chan result, 1)
	go func() {
		req, _ := http.NewRequest("GET", "http://"+clients.Addr().String(), nil)
		answered <- fetch(newHTTPClient(clients.Addr().String()), req)
	}()
	second := startGiven(t, kept, path, args)
	(<-answered).want(t, 404, "*")
	third := startProcess(t, clients.Addr().String(), filepath.Join(dir, "admin"), filepath.Join(dir, "table"), "GATEWAY_TEST_HANDOVER="+filepath.Join(dir, "heirs"))
	second.Wait()
	if pid := lockfile.Owner(path); pid != third.PID {
		t.Errorf("the lock is that of %d, not of %d", pid, third.PID)
	}
	if status, _ := adminCall(t, filepath.Join(dir, "admin"), "GET", "/healthz", ""); status != 200 {
		t.Errorf("the heir's admin API answers %d", status)
	}
	if _, err := lockfile.Try(path, lockfile.Alone); !errors.Is(err, lockfile.ErrHeld) {
		t.Errorf("the heir does not hold the role: %v", err)
	}
}

// startGiven starts a gateway as those do who watch it.
func startGiven(t *testing.T, kept *sockets.Set, path string, args []string) *process {
	t.Helper()
	lock, err := lockfile.Try(path, lockfile.Alone)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	cmd := exec.Command("/proc/self/exe", append([]string{"gateway"}, args...)...)
	list, done, err := kept.Give(cmd, lock.File(), func(string) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	cmd.Args = append(cmd.Args, "--inherit", list)
	return begin(t, cmd)
}

func TestGracefulShutdown(t *testing.T) {
	t.Parallel()
	finish := make(chan struct{})
	b := newBackend(t, func(w http.ResponseWriter, r *http.Request) { met(t, finish); io.WriteString(w, "done") })
	r := serving(t, one(b.endpoint("a", 1)))
	got := make(chan result, 1)
	go func() { got <- r.do("POST", "/", "") }()
	until(t, "in flight", func() bool { return b.hits.Load() == 1 })
	if status, _ := adminCall(t, r.cfg.Admin, "POST", "/shutdown", ""); status != 200 {
		t.Fatalf("shutdown: %d", status)
	}
	until(t, "it accepts nothing more", func() bool { // without a request: one that is let in still would wait, too
		c, err := net.Dial("tcp", r.Addr())
		if err == nil {
			c.Close()
		}
		return errors.Is(err, syscall.ECONNREFUSED)
	})
	close(finish)
	(<-got).want(t, 200, "done")
	r.end()
	if _, err := os.Stat(r.cfg.Admin); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the admin socket is left: %v", err)
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{}, {"--admin", "a"}, {"--nonsense"}, {"--admin", "a", "--state", "b", "extra"}} {
		if _, err := parseArgs(args, io.Discard); err == nil {
			t.Errorf("%v: no error", args)
		}
	}
}
