package gateway

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"godwit/internal/fleet"
)

func TestShieldHidesAFailingRelease(t *testing.T) {
	t.Parallel()
	silent := func(c net.Conn) { io.Copy(io.Discard, c) }
	breaks := func(c net.Conn) { http.ReadRequest(bufio.NewReader(c)); io.WriteString(c, "HTTP/1.1 200 O") }
	for name, bad := range map[string]func(t *testing.T) Endpoint{
		"500": func(t *testing.T) Endpoint {
			return newBackend(t, func(w http.ResponseWriter, r *http.Request) { http.Error(w, "oops", 500) }).endpoint("new", 2)
		},
		"503": func(t *testing.T) Endpoint {
			return newBackend(t, func(w http.ResponseWriter, r *http.Request) { http.Error(w, "oops", http.StatusServiceUnavailable) }).endpoint("new", 2)
		},
		"silent":       func(t *testing.T) Endpoint { return rawBackend(t, silent) },
		"breaks":       func(t *testing.T) Endpoint { return rawBackend(t, breaks) },
		"not there":    func(t *testing.T) Endpoint { return deadEndpoint(t) },
		"closes early": func(t *testing.T) Endpoint { return rawBackend(t, func(net.Conn) {}) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			old := newBackend(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })
			newer := bad(t)
			newer.ID, newer.Release = "new", 2
			r := serving(t, Pool{Endpoints: []Endpoint{old.endpoint("old", 1), newer}, Weights: fleet.Weights{1: 1, 2: 1}},
				func(c *Config) { c.ShieldTimeout = 50 * time.Millisecond })
			for range 10 {
				r.do("POST", "/", "pay", "Idempotency-Key", "k1").want(t, 200, "pay")
				r.do("GET", "/", "").want(t, 200, "")
			}
			bad := r.traffic(2)
			if bad.Requests != 10 || bad.Errors != 10 || bad.Shielded != 10 {
				t.Errorf("new release: %+v", bad)
			}
			if good := r.traffic(1); good.Requests != 20 || good.Errors != 0 || good.Shielded != 0 {
				t.Errorf("old release: %+v", good)
			}
		})
	}
}

func deadEndpoint(t testing.TB) Endpoint {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return Endpoint{ID: "dead", Address: ln.Addr().String(), Release: 1}
}

func TestShieldHasLimits(t *testing.T) {
	t.Parallel()
	fails := func(w http.ResponseWriter, r *http.Request) { http.Error(w, "oops", 500) }
	bad, good := newBackend(t, fails), newBackend(t, says("good"))
	ends := []Endpoint{good.endpoint("old", 1), bad.endpoint("new", 2)}
	t.Run("a request without key is not repeated", func(t *testing.T) {
		r := serving(t, Pool{Endpoints: ends, Weights: fleet.Weights{1: 1, 2: 1}})
		seen := map[int]int{}
		for range 10 {
			seen[r.do("POST", "/", "x").status]++
		}
		if seen[200] != 5 || seen[500] != 5 {
			t.Errorf("statuses %v", seen)
		}
	})
	t.Run("with the new release alone its failures show", func(t *testing.T) {
		r := serving(t, Pool{Endpoints: ends, Weights: fleet.Weights{1: 0, 2: 1}})
		r.do("GET", "/", "").want(t, 500, "oops\n")
	})
	t.Run("the old release is not shielded by the new", func(t *testing.T) {
		r := serving(t, Pool{Endpoints: []Endpoint{bad.endpoint("old", 1), good.endpoint("new", 2)}, Weights: fleet.Weights{1: 1, 2: 1}})
		seen := map[int]int{}
		for range 10 {
			seen[r.do("GET", "/", "").status]++
		}
		if seen[500] != 5 {
			t.Errorf("statuses %v", seen)
		}
	})
	t.Run("both fail: not counted as shielded", func(t *testing.T) {
		r := serving(t, Pool{Endpoints: []Endpoint{bad.endpoint("old", 1), bad.endpoint("new", 2)}, Weights: fleet.Weights{1: 1, 2: 1}})
		for range 4 {
			r.do("GET", "/", "").want(t, 500, "oops\n")
		}
		if n := r.traffic(2); n.Shielded != 0 || n.Errors != 2 {
			t.Errorf("%+v", n)
		}
	})
}

func TestReplayOnAnotherEndpoint(t *testing.T) {
	t.Parallel()
	good := newBackend(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })
	eats := func() (Endpoint, *atomic.Int64) { // reads a request, then closes without an answer
		n := new(atomic.Int64)
		e := rawBackend(t, func(c net.Conn) {
			if req, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
				io.Copy(io.Discard, req.Body)
				n.Add(1)
			}
		})
		return e, n
	}
	t.Run("replayable", func(t *testing.T) {
		bad, n := eats()
		r := serving(t, one(good.endpoint("good", 1), bad))
		for range 20 {
			r.do("GET", "/", "").want(t, 200, "")
			r.do("POST", "/", "order", "Idempotency-Key", "1").want(t, 200, "order")
		}
		if n.Load() == 0 {
			t.Error("the bad endpoint was never tried; the test shows nothing")
		}
	})
	t.Run("not replayable", func(t *testing.T) {
		bad, n := eats()
		r := serving(t, one(bad))
		r.do("POST", "/", "order").want(t, 502, "*")
		if n.Load() != 1 {
			t.Errorf("a request that must be sent once was sent %d times", n.Load())
		}
	})
	t.Run("nothing was sent yet", func(t *testing.T) {
		r := serving(t, one(good.endpoint("good", 1), deadEndpoint(t)))
		for range 20 { // any request may go elsewhere when nobody took the first connection
			r.do("POST", "/", "order").want(t, 200, "order")
		}
	})
	t.Run("nobody there", func(t *testing.T) {
		r := serving(t, one(deadEndpoint(t)), func(c *Config) { c.EndpointWait = time.Nanosecond })
		r.do("GET", "/", "").want(t, 503, "*")
	})
	t.Run("in time", func(t *testing.T) {
		r := serving(t, one(rawBackend(t, func(c net.Conn) { io.Copy(io.Discard, c) })), func(c *Config) { c.ResponseTimeout = 20 * time.Millisecond })
		r.do("GET", "/", "").want(t, 504, "*")
	})
}

// TestEndpointThatClosesIdleConnections closes each connection right after its
// answer without saying so: every reuse meets a closed connection.
func TestEndpointThatClosesIdleConnections(t *testing.T) {
	overBoth(t, testEndpointThatClosesIdleConnections)
}

func testEndpointThatClosesIdleConnections(t *testing.T, l line) {
	r := serving(t, one(l.raw(t, func(c net.Conn) {
		if req, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			io.Copy(io.Discard, req.Body)
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	})))
	for range 50 {
		r.do("GET", "/", "").want(t, 200, "ok")
		r.do("POST", "/", "x", "Idempotency-Key", "1").want(t, 200, "ok")
	}
	if tr := r.traffic(1); tr.Errors != 0 || tr.Requests != 100 {
		t.Errorf("%+v", tr)
	}
}

// TestRollout moves all weight and retires the old instances under load.
func TestRollout(t *testing.T) {
	t.Parallel()
	old, fresh := newBackend(t, says("v1")), newBackend(t, says("v2"))
	o, n := old.endpoint("old", 1), fresh.endpoint("new", 2)
	r := serving(t, one(o))
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for i := range 20 {
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				method := []string{"GET", "POST"}[i%2]
				if got := r.do(method, "/", ""); got.err != nil || got.status != 200 {
					t.Errorf("%s failed: %+v", method, got)
					return
				}
			}
		})
	}
	until(t, "load", func() bool { return old.hits.Load() > 200 })
	both := []Endpoint{o, n}
	r.pool("production/till", Pool{Endpoints: both, Weights: fleet.Weights{1: 3, 2: 1}})
	until(t, "some on the new", func() bool { return fresh.hits.Load() > 200 })
	if err := r.control.Idle(deadline(t, time.Second), "production/till", 1, time.Second); !errors.Is(err, ErrConflict) {
		t.Errorf("idle with weight: %v", err)
	}
	r.pool("production/till", Pool{Endpoints: both, Weights: fleet.Weights{2: 1}})
	if err := r.control.Idle(deadline(t, 10*time.Second), "production/till", 1, time.Second); err != nil {
		t.Fatal(err)
	}
	drained := old.hits.Load()
	old.CloseClientConnections()
	old.Close()
	now := fresh.hits.Load()
	until(t, "traffic goes on", func() bool { return fresh.hits.Load() > now+200 })
	if old.hits.Load() != drained {
		t.Error("the old release got requests after it was idle")
	}
	r.pool("production/till", Pool{Endpoints: []Endpoint{n}, Weights: fleet.Weights{2: 1}})
	close(stop)
	clients.Wait()
	if f, ok := r.cfg.Forward.(*http1); !ok || f.pools[o] != nil {
		t.Error("connections to the retired instance are kept")
	}
	if tr := r.control.Stats().Pools["production/till"].Traffic; len(tr) != 1 {
		t.Errorf("a release the pool does not know any more is remembered: %v", tr)
	}
}

// TestWeightsProperty: over one full cycle each release gets exactly its share,
// and never many of its turns in a row.
func TestWeightsProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		weights := fleet.Weights{}
		total := 0
		var ends []Endpoint
		for number := range rapid.IntRange(1, 5).Draw(t, "releases") {
			w := rapid.IntRange(0, 20).Draw(t, "weight")
			weights[number] = w
			total += w
			for range rapid.IntRange(1, 3).Draw(t, "endpoints") {
				ends = append(ends, Endpoint{ID: string(rune('a' + len(ends))), Address: "127.0.0.1:1", Release: number})
			}
		}
		p := newPool("p", Pool{Endpoints: ends, Weights: weights})
		got := map[int]int{}
		for range total {
			e, _ := p.pick(wish{})
			got[e.Release]++
			defer e.leave()
		}
		for number, w := range weights {
			if got[number] != w {
				t.Fatalf("release %d got %d of %d requests at weight %d", number, got[number], total, w)
			}
		}
		if total == 0 {
			if e, _ := p.pick(wish{}); e != nil {
				t.Fatalf("picked %s of a pool without weight", e.ID)
			}
		}
		busiest, idlest := map[int]int64{}, map[int]int64{}
		for _, e := range p.state.Load().endpoints { // least in flight: equal to one
			n := e.inflight.Load()
			if lo, seen := idlest[e.Release]; !seen || n < lo {
				idlest[e.Release] = n
			}
			busiest[e.Release] = max(busiest[e.Release], n)
		}
		for number := range weights {
			if busiest[number]-idlest[number] > 1 {
				t.Fatalf("release %d: from %d to %d in flight per endpoint", number, idlest[number], busiest[number])
			}
		}
	})
}
