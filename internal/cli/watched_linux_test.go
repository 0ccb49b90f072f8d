package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"godwit/internal/site/local"
	"godwit/internal/testtool"
	"godwit/internal/watch"
)

// everyone are the roles that are watched.
var everyone = []watch.Role{watch.Engine, watch.Gateway, watch.First, watch.Second}

// watched is a landscape that is up, with all its processes.
type watched struct {
	*testing.T
	watch.Place
	state, landscape, address string
}

// newWatched brings a service of one instance up.
func newWatched(t *testing.T, prepare ...func(state string)) *watched {
	t.Helper()
	if problems := local.Check(); len(problems) > 0 {
		t.Skip("needs namespaces: ", local.Lines(problems))
	}
	dir, err := os.MkdirTemp("", "godwit-w-")
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := ln.Addr().String()
	ln.Close()
	w := &watched{T: t, Place: watch.At(filepath.Join(dir, "s")), state: filepath.Join(dir, "s"), landscape: filepath.Join(dir, "l"), address: address}
	t.Cleanup(func() {
		out, err := w.command(context.Background(), "down", "--approve").CombinedOutput()
		if err != nil {
			t.Errorf("down: %v\n%s", err, out)
		}
		w.until("nothing is left", func() error {
			if pids := processesOf(w.state); len(pids) > 0 {
				return fmt.Errorf("processes %v", pids)
			}
			return nil
		})
		os.RemoveAll(dir)
	})
	w.ok(os.Mkdir(w.state, 0o711))
	for _, p := range prepare {
		p(w.state)
	}
	w.files()
	w.do("up", w.landscape, "--listen", address)
	w.all()
	return w
}

func (w *watched) files() {
	w.Helper()
	w.ok(os.CopyFS(w.landscape, os.DirFS("testdata/watched")))
	w.ok(os.Rename(filepath.Join(w.landscape, "main.go.txt"), filepath.Join(w.landscape, "main.go")))
	w.ok(os.Rename(filepath.Join(w.landscape, "go.mod.txt"), filepath.Join(w.landscape, "go.mod")))
}

func (w *watched) ok(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *watched) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env = append(os.Environ(), "GODWIT_STATE="+w.state)
	return cmd
}

func (w *watched) do(args ...string) string {
	w.Helper()
	out, err := w.command(w.Context(), args...).CombinedOutput()
	if err != nil {
		w.Fatalf("%v: %v\n%s", args, err, out)
	}
	return string(out)
}

// until waits for what needs no human; nothing here depends on how fast it comes.
func (w *watched) until(what string, holds func() error) {
	w.Helper()
	var last error
	limit := time.After(time.Minute)
	for last = holds(); last != nil; last = holds() {
		select {
		case <-limit:
			w.Fatalf("it never came that %s: %v%s", what, last, w.logs())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (w *watched) logs() string {
	var all strings.Builder
	for _, path := range []string{w.EngineLog(), w.GatewayLog(), filepath.Join(w.state, "watch/first.log"), filepath.Join(w.state, "watch/second.log")} {
		b, _ := os.ReadFile(path)
		fmt.Fprintf(&all, "\n%s: … %s", path, b[max(0, len(b)-1500):])
	}
	return all.String()
}

// all waits until everyone runs; it returns who they are.
func (w *watched) all() map[watch.Role]int {
	w.Helper()
	pids := map[watch.Role]int{}
	w.until("everyone runs", func() error {
		for _, r := range everyone {
			if pids[r] = w.Pid(r); pids[r] == 0 {
				return fmt.Errorf("there is no %s", r)
			}
		}
		return nil
	})
	return pids
}

// load is requests at a rate that no answer changes, each on a connection of its own.
type load struct {
	stop chan struct{}
	all  sync.WaitGroup
	mu   sync.Mutex
	sent int
	lost []lost
}

type lost struct {
	began time.Time
	why   error
}

const requestsPerSecond = 200

func (w *watched) load() *load {
	l := &load{stop: make(chan struct{})}
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}
	l.all.Go(func() {
		tick := time.NewTicker(time.Second / requestsPerSecond)
		defer tick.Stop()
		for {
			select {
			case <-l.stop:
				return
			case <-tick.C:
			}
			l.all.Go(func() { l.request(client, w.address) })
		}
	})
	return l
}

func (l *load) request(client *http.Client, address string) {
	began := time.Now()
	req, err := http.NewRequest(http.MethodGet, "http://"+address, nil)
	if err == nil {
		req.Host = "tiny.example"
		var res *http.Response
		if res, err = client.Do(req); err == nil {
			if _, err = io.Copy(io.Discard, res.Body); err == nil && res.StatusCode != http.StatusOK {
				err = errors.New(res.Status)
			}
			res.Body.Close()
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent++
	if err != nil {
		l.lost = append(l.lost, lost{began, err})
	}
}

// runs waits until requests have come back.
func (w *watched) runs(l *load) {
	w.Helper()
	w.until("requests are answered", func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.sent < requestsPerSecond/4 {
			return fmt.Errorf("%d requests", l.sent)
		}
		return nil
	})
}

// end is all requests, and those that failed.
func (l *load) end() (int, []lost) {
	close(l.stop)
	l.all.Wait()
	return l.sent, l.lost
}

// kill kills processes at once, and waits until they are dead; it returns when
// that was.
func (w *watched) kill(signal syscall.Signal, roles ...watch.Role) time.Time {
	w.Helper()
	pids := w.all()
	for _, r := range roles {
		w.ok(syscall.Kill(pids[r], signal))
	}
	for _, r := range roles {
		w.until(string(r)+" is dead", func() error {
			stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pids[r]))
			if err == nil && w.Pid(r) == pids[r] {
				return fmt.Errorf("still there: %s", stat)
			}
			return nil
		})
	}
	dead := time.Now()
	w.until(fmt.Sprintf("%v are back", roles), func() error {
		for _, r := range roles {
			if pid := w.Pid(r); pid == 0 || pid == pids[r] {
				return fmt.Errorf("%s is %d, it was %d", r, pid, pids[r])
			}
		}
		return nil
	})
	return dead
}

// TestWatched kills each of the processes, and each pair of them, under load. They
// come back by themselves, and no request fails that began after a gateway was
// dead: it waits at the socket, which outlives the gateway.
func TestWatched(t *testing.T) {
	w := newWatched(t)
	var cases [][]watch.Role
	for i, one := range everyone {
		cases = append(cases, []watch.Role{one})
		for _, other := range everyone[i+1:] {
			cases = append(cases, []watch.Role{one, other})
		}
	}
	var requests, failed int
	for _, roles := range cases {
		t.Run(fmt.Sprint(roles), func(t *testing.T) {
			l := w.load()
			w.runs(l)
			began := time.Now()
			dead := w.kill(syscall.SIGKILL, roles...)
			w.all()
			back := time.Since(dead)
			w.do("status") // the API too
			n, lost := l.end()
			requests, failed = requests+n, failed+len(lost)
			t.Logf("back after %v; %d requests, %d failed", back, n, len(lost))
			if len(lost) > 0 && !slices.Contains(roles, watch.Gateway) {
				t.Errorf("%d requests failed, and the gateway lived: %v", len(lost), lost[0].why)
			}
			for _, f := range lost {
				if f.began.After(dead) {
					t.Errorf("a request failed that began %v after the kill, %v after the gateway was dead: %v", f.began.Sub(began), f.began.Sub(dead), f.why)
				}
			}
		})
	}
	t.Logf("%d requests, %d failed", requests, failed)
}

// TestHung stops each of the processes: it is killed and replaced, once.
func TestHung(t *testing.T) {
	w := newWatched(t)
	for _, r := range everyone {
		t.Run(string(r), func(t *testing.T) {
			before := w.all()[r]
			w.until("it has been seen well", func() error { // by those who watch it
				_, err := w.command(t.Context(), "status").CombinedOutput()
				return err
			})
			l := w.load()
			w.runs(l)
			testtool.Hang(t, before)
			hangs := time.Now()
			w.until(string(r)+" is replaced", func() error {
				if now := w.Pid(r); now == 0 || now == before {
					return fmt.Errorf("it is %d", now)
				}
				return nil
			})
			w.all()
			w.do("status")
			w.runs(l)
			n, lost := l.end()
			t.Logf("%d requests, %d failed", n, len(lost))
			for _, f := range lost { // they waited for the next one, which nobody who meant the hung one may kill
				if f.began.After(hangs) {
					t.Errorf("a request failed that began %v after it hung: %v", f.began.Sub(hangs), f.why)
				}
			}
		})
	}
}

// TestToldToEnd: an engine that is told to end stays ended, and what it runs goes
// on, watched; the next command starts another.
func TestToldToEnd(t *testing.T) {
	w := newWatched(t)
	w.ok(w.Signal(watch.Engine, syscall.SIGTERM))
	limit, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	w.ok(w.Gone(limit, watch.Engine))
	l := w.load()
	w.runs(l)
	gateway := w.Pid(watch.Gateway)
	w.ok(syscall.Kill(gateway, syscall.SIGKILL))
	w.until("there is another gateway", func() error {
		if pid := w.Pid(watch.Gateway); pid == 0 || pid == gateway {
			return fmt.Errorf("it is %d", pid)
		}
		return nil
	})
	if _, lost := l.end(); len(lost) > requestsPerSecond/10 {
		t.Errorf("%d requests failed", len(lost))
	}
	if w.Running(watch.Engine) {
		t.Error("an engine runs")
	}
	if out := w.do("status"); !strings.Contains(out, "starting") {
		t.Errorf("nothing was started: %s", out)
	}
	w.all()
}
