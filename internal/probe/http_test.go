package probe

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"godwit/internal/landscape"
)

func landscapeWrites() landscape.Probe {
	p := tills()
	p.Requests = p.Requests[:1]
	return p
}

func run(t *testing.T, o Options) Result {
	t.Helper()
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Sent != r.OK+r.Failed+r.Interrupted {
		t.Errorf("%d sent is not the sum of its parts: %+v", r.Sent, r)
	}
	return r
}

func TestExactCounts(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	keys, paths, hosts, conns := map[string]int{}, map[string]int{}, map[string]int{}, map[string]int{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		key := r.Header.Get("Idempotency-Key")
		own := strings.HasPrefix(key, "own-") && r.Header.Get("Accept") == "text/plain" && len(r.Header.Values("Idempotency-Key")) == 1
		if r.Method == "POST" && string(body) != `{"key":"`+key+`"}` || r.Method == "GET" && !own {
			w.WriteHeader(http.StatusBadRequest)
		}
		mu.Lock()
		defer mu.Unlock()
		keys[key]++
		paths[r.URL.Path]++
		hosts[r.Host]++
		conns[r.RemoteAddr]++
		_, _ = io.WriteString(w, strings.Repeat("x", 5000))
	}))
	defer server.Close()
	p := tills()
	p.Requests[1].Headers = map[string]string{"idempotency-key": "own-{{n}}", "Accept": "text/plain"}
	r := run(t, Options{Probe: p, Target: server.URL, Host: "till.bistro.example", Rate: 600, Duration: time.Second, Seed: 1})
	if r.Sent != 600 || r.OK != 600 || len(keys) != 600 || hosts["till.bistro.example"] != 600 {
		t.Errorf("%d keys, hosts %v: %+v", len(keys), hosts, r)
	}
	if n := paths["/orders"]; n < 150 || n > 250 || int64(n) != r.Writes || n+paths["/menu"] != 600 {
		t.Errorf("a third should be writes: %v, %d writes", paths, r.Writes)
	}
	if len(conns) == 600 {
		t.Error("no connection was kept")
	}
}

// A server that drops every third request without an answer gets each request once.
func TestRetriesNothing(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1)%3 == 0 {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_ = conn.Close()
			}
		}
	}))
	defer server.Close()
	r := run(t, Options{Probe: tills(), Target: server.URL, Rate: 300, Duration: time.Second})
	if asked.Load() != 300 || r.Sent != 300 || r.Failed != 100 || r.Reasons["closed"]+r.Reasons["reset"] != 100 {
		t.Errorf("asked %d: %+v", asked.Load(), r)
	}
	if len(r.Examples) != maxExamples || r.Examples[0].Key == "" || r.Examples[0].Message == "" {
		t.Errorf("examples: %+v", r.Examples)
	}
}

// A connection that the server closed while it was idle is not used again.
func TestIdleConnectionsMayBeClosed(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.Config.IdleTimeout = time.Millisecond
	server.Start()
	defer server.Close()
	if r := run(t, Options{Probe: tills(), Target: server.URL, Rate: 20, Duration: time.Second}); r.OK != 20 {
		t.Errorf("%+v", r)
	}
}

func TestFailuresAreClassified(t *testing.T) {
	t.Parallel()
	raw := func(act func(net.Conn)) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		go func() { // ends when the listener is closed
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = conn.Read(make([]byte, 4096))
				act(conn)
			}
		}()
		return "http://" + l.Addr().String()
	}
	status := func(code int) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", code) }))
		t.Cleanup(s.Close)
		return s.URL
	}
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = nobody.Close()
	for class, target := range map[Class]string{
		"503":   status(503),
		"404":   status(404),
		"302":   status(302),
		Refused: "http://" + nobody.Addr().String(),
		Closed: raw(func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
			_ = c.Close()
		}),
		Reset:    raw(func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0); _ = c.Close() }),
		Protocol: raw(func(c net.Conn) { _, _ = io.WriteString(c, "SSH-2.0-other\r\n\r\n"); _ = c.Close() }),
		Timeout:  raw(func(c net.Conn) { t.Cleanup(func() { _ = c.Close() }) }),
	} {
		t.Run(string(class), func(t *testing.T) {
			r := run(t, Options{Probe: tills(), Target: target, Rate: 50, Duration: 100 * time.Millisecond, Timeout: 300 * time.Millisecond})
			if want := map[string]int64{string(class): 5}; !maps.Equal(r.Reasons, want) {
				t.Errorf("reasons %v, want %v; %+v", r.Reasons, want, r.Examples)
			}
		})
	}
}

func TestLedgerThatCannotBeWrittenStopsTheLoad(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	r, err := Run(t.Context(), Options{Probe: tills(), Target: server.URL, Rate: 100, Duration: time.Minute, LedgerPath: "/dev/full"})
	if !errors.Is(err, ErrLedger) || r.Sent == 0 || r.Sent > 1000 {
		t.Errorf("%v after %d requests", err, r.Sent)
	}
}

func TestInvalid(t *testing.T) {
	t.Parallel()
	half, two := 0.5, 2.0
	with := func(change func(*Options)) Options {
		o := Options{Probe: tills(), Target: "http://127.0.0.1:1", Rate: 1, Duration: time.Second}
		change(&o)
		return o
	}
	path := func(p string) func(*Options) {
		return func(o *Options) { o.Probe.Requests = []landscape.ProbeRequest{{Name: "x", Path: p, Weight: 1}} }
	}
	for i, o := range []Options{
		with(func(o *Options) { o.Rate = 0 }),
		with(func(o *Options) { o.Target = "ftp://127.0.0.1" }),
		with(func(o *Options) { o.Target = "127.0.0.1:80" }),
		with(func(o *Options) { o.Host = "a\r\nb" }),
		with(func(o *Options) { o.WriteShare = &two }),
		with(func(o *Options) { o.WriteShare = &half; o.Probe.Requests = o.Probe.Requests[1:] }),
		with(func(o *Options) { o.Probe.Requests = nil }),
		with(func(o *Options) { o.Probe.Requests = []landscape.ProbeRequest{{Name: "x", Path: "/", Weight: 0}} }),
		with(path("/{{nosuch}}")),
		with(path("/{{")),
	} {
		if _, err := Run(t.Context(), o); !errors.Is(err, ErrInvalid) {
			t.Errorf("case %d: %v", i, err)
		}
	}
	for _, p := range []string{"nowhere", "/a b", "/{{rand 5 1}}", "/{{rand}}", "/{{0|rand}}", "/{{pick}}"} {
		if r := run(t, with(func(o *Options) { path(p)(o); o.Rate = 10; o.Duration = 100 * time.Millisecond })); r.Reasons[string(Template)] != 1 {
			t.Errorf("path %q: %v", p, r.Reasons)
		}
	}
}

func TestSameSeedSameRequests(t *testing.T) {
	t.Parallel()
	p := tills()
	p.Requests[1].Path = `/{{pick "a" "b" "c"}}/{{rand 1 40}}/{{40|rand}}/{{n}}`
	draw := func(seed uint64) (all []string) {
		d, err := newDeck(Options{Probe: p, Seed: seed, Run: "run"})
		if err != nil {
			t.Fatal(err)
		}
		for n := range int64(50) {
			s, err := d.draw(n)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, s.path+s.body+s.key)
		}
		return all
	}
	a, b, c := fmt.Sprint(draw(1)), fmt.Sprint(draw(1)), fmt.Sprint(draw(2))
	if a != b || a == c {
		t.Errorf("the seed does not decide:\n%s\n%s\n%s", a, b, c)
	}
}
