package gateway

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"godwit/internal/fleet"
)

// TestMain also is the gateway process of the tests that kill one.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "gateway" {
		os.Exit(Main(os.Args[2:]))
	}
	status := m.Run()
	if status == 0 && !settles() {
		status = 1
	}
	os.Exit(status)
}

// settles waits until nothing runs that a test has started.
func settles() bool {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range 500 {
		if runtime.NumGoroutine() <= 4 { // this one, and what the runtime keeps for signals
			return true
		}
		<-tick.C
	}
	fmt.Fprintln(os.Stderr, "goroutines are left over:")
	pprof.Lookup("goroutine").WriteTo(os.Stderr, 1)
	return false
}

const host = "till.bistro.example"

// running is a gateway in this process.
type running struct {
	*Server
	t      *testing.T
	client *http.Client
	done   chan error
	cancel context.CancelFunc
}

func testDir(t testing.TB) string {
	dir, err := os.MkdirTemp("", "gw") // short: unix sockets have short names
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func testConfig(t testing.TB) Config {
	dir := testDir(t)
	return Config{
		Listen: "127.0.0.1:0", Admin: filepath.Join(dir, "admin"), State: filepath.Join(dir, "table.json"), Roots: testAuthority().pool(),
		Log: slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}

func start(t *testing.T, edit ...func(*Config)) *running {
	t.Helper()
	cfg := testConfig(t)
	cfg.Log = nil // may outlive a test's log
	for _, e := range edit {
		e(&cfg)
	}
	return startWith(t, cfg)
}

func startWith(t *testing.T, cfg Config) *running {
	t.Helper()
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready := make(chan struct{})
	s.onReady = func() { close(ready) }
	r := &running{Server: s, t: t, done: make(chan error, 1), cancel: cancel}
	r.client = newHTTPClient(s.Addr())
	go func() { r.done <- s.Run(ctx) }()
	select {
	case <-ready:
	case err := <-r.done:
		t.Fatalf("the gateway ended at once: %v", err)
	}
	t.Cleanup(func() {
		r.client.CloseIdleConnections()
		r.end()
	})
	return r
}

// end stops the gateway and waits for it.
func (r *running) end() {
	r.cancel()
	if err := <-r.done; err != nil {
		r.t.Errorf("gateway: %v", err)
	}
	r.done <- nil
}

func newHTTPClient(addr string) *http.Client {
	var d net.Dialer
	return &http.Client{
		Transport: &http.Transport{
			DialContext:         func(ctx context.Context, _, _ string) (net.Conn, error) { return d.DialContext(ctx, "tcp", addr) },
			MaxIdleConnsPerHost: 1000, DisableCompression: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// backend is a real HTTP server; its requests are counted.
type backend struct {
	*httptest.Server
	hits atomic.Int64
}

func newBackend(t testing.TB, h http.HandlerFunc) *backend {
	b := unstartedBackend(t, h)
	b.Start()
	return b
}

func unstartedBackend(t testing.TB, h http.HandlerFunc) *backend {
	b := &backend{}
	b.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.hits.Add(1)
		h(w, r)
	}))
	t.Cleanup(func() {
		b.CloseClientConnections()
		b.Close()
	})
	return b
}

func says(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, text)
	}
}

func (b *backend) endpoint(id string, release int) Endpoint {
	e := Endpoint{ID: id, Address: b.Listener.Addr().String(), Release: release}
	if b.TLS != nil {
		e.TLS = lbName
	}
	return e
}

// rawBackend answers each accepted connection with handle.
func rawBackend(t testing.TB, handle func(net.Conn)) Endpoint {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, c)
			mu.Unlock()
			wg.Go(func() { defer c.Close(); handle(c) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		mu.Lock()
		for _, c := range conns {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return Endpoint{ID: "raw", Address: ln.Addr().String(), Release: 1}
}

func one(endpoints ...Endpoint) Pool {
	return Pool{Endpoints: endpoints, Weights: fleet.Weights{1: 1}}
}

func (r *running) pool(name string, p Pool) {
	r.t.Helper()
	if _, err := r.control.SetPool(name, p); err != nil {
		r.t.Fatal(err)
	}
}

func (r *running) route(host, pool string) {
	r.t.Helper()
	if _, err := r.control.SetRoutes(map[string]string{host: pool}); err != nil {
		r.t.Fatal(err)
	}
}

// serving starts a gateway with one pool behind host.
func serving(t *testing.T, p Pool, edit ...func(*Config)) *running {
	t.Helper()
	r := start(t, edit...)
	r.pool("production/till", p)
	r.route(host, "production/till")
	return r
}

type result struct {
	status int
	body   string
	header http.Header
	err    error
}

func (r *running) request(method, path, body string, header ...string) *http.Request {
	var rd io.Reader
	if body != "" {
		rd = strings.NewReader(body)
	}
	req, err := http.NewRequest(method, "http://"+host+path, rd)
	if err != nil {
		r.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return req
}

func (r *running) do(method, path, body string, header ...string) result {
	return fetch(r.client, r.request(method, path, body, header...))
}

func fetch(c *http.Client, req *http.Request) result {
	res, err := c.Do(req)
	if err != nil {
		return result{err: err}
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return result{status: res.StatusCode, body: string(b), header: res.Header, err: err}
}

func (got result) want(t *testing.T, status int, body string) {
	t.Helper()
	if got.err != nil || got.status != status || (body != "*" && got.body != body) {
		t.Fatalf("got %d %q (%v), want %d %q", got.status, got.body, got.err, status, body)
	}
}

// raw opens a connection to the gateway and sends text.
func (r *running) raw(text string) (net.Conn, *bufio.Reader) {
	r.t.Helper()
	c, err := net.Dial("tcp", r.Addr())
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	io.WriteString(c, text)
	return c, bufio.NewReader(c)
}

// until waits for a condition, checking often.
func until(t testing.TB, what string, cond func() bool) {
	t.Helper()
	within(t, 15*time.Second, what, cond)
}

func within(t testing.TB, budget time.Duration, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(budget)
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("did not happen: %s", what)
		}
	}
}

// met waits for the test at ch; false when the test is over.
func met(t *testing.T, ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	case <-t.Context().Done():
		return false
	}
}

func (r *running) waiting(id string) int64 {
	h, err := r.control.hold(id)
	if err != nil {
		return -1
	}
	return h.status().Waiting
}

func (r *running) traffic(release int) fleet.Traffic {
	return r.control.Stats().Pools["production/till"].Traffic[release]
}

func deadline(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}
