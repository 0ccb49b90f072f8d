package gateway

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func (r *running) hold(id string, lease time.Duration) {
	r.t.Helper()
	if err := r.control.Hold(id, HoldRequest{Hosts: []string{host}, LeaseMS: lease.Milliseconds()}); err != nil {
		r.t.Fatal(err)
	}
}

// TestHoldUnderLoad is a cutover as clients see it: some hundred of them send
// without pause; between drained and release nothing reaches either side; not
// one request fails, and after the shift none reaches the source.
func TestHoldUnderLoad(t *testing.T) {
	t.Parallel()
	source, target := newBackend(t, says("source")), newBackend(t, says("target"))
	r := serving(t, one(source.endpoint("s", 1)))
	r.pool("source/till", one(source.endpoint("s", 1)))
	r.pool("target/till", one(target.endpoint("t", 1)))
	r.route(host, "source/till")

	stop := make(chan struct{})
	var clients sync.WaitGroup
	for range 300 {
		clients.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				method, body := http.MethodGet, ""
				if n%2 == 0 {
					method, body = http.MethodPost, "order"
				}
				if got := r.do(method, "/", body); got.err != nil || got.status != 200 {
					t.Errorf("%s failed: %+v", method, got)
					return
				}
			}
		})
	}
	until(t, "load", func() bool { return source.hits.Load() > 500 })
	for round := range 4 { // there and back again
		from, to, pool := source, target, "target/till"
		if round%2 == 1 {
			from, to, pool = target, source, "source/till"
		}
		r.hold("cutover", time.Minute)
		if err := r.control.Drained(deadline(t, 10*time.Second), "cutover", time.Second); err != nil {
			t.Fatal(err)
		}
		before := source.hits.Load() + target.hits.Load()
		until(t, "most clients wait", func() bool { return r.waiting("cutover") >= 250 })
		if during := source.hits.Load() + target.hits.Load() - before; during != 0 {
			t.Fatalf("round %d: %d requests passed the gate while it was held", round, during)
		}
		r.route(host, pool)
		old, fresh := from.hits.Load(), to.hits.Load()
		held, err := r.control.Release("cutover")
		if err != nil || held.Requests < 250 || held.Expired || held.Longest <= 0 || held.Longest > held.Total {
			t.Fatalf("held %+v, %v", held, err)
		}
		until(t, "traffic goes on", func() bool { return to.hits.Load() > fresh+500 })
		if from.hits.Load() != old {
			t.Fatalf("round %d: %d requests went to the old side after the shift", round, from.hits.Load()-old)
		}
	}
	close(stop)
	clients.Wait()
}

func TestDrainedWaitsForWhatPassedBefore(t *testing.T) {
	t.Parallel()
	finish := make(chan struct{})
	b := newBackend(t, func(w http.ResponseWriter, r *http.Request) { met(t, finish); io.WriteString(w, "done") })
	r := serving(t, one(b.endpoint("a", 1)))
	got := make(chan result, 1)
	go func() { got <- r.do("POST", "/", "order") }()
	until(t, "in flight", func() bool { return b.hits.Load() == 1 })
	r.hold("h", time.Minute)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
	defer cancel()
	err := r.control.Drained(ctx, "h", 0)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("drained with a request in flight: %v", err)
	}
	if want := "POST " + host + "/ (no answer yet, for "; !strings.Contains(err.Error(), want) {
		t.Errorf("%q does not say %q", err, want)
	}
	drained := make(chan error, 1)
	go func() { drained <- r.control.Drained(deadline(t, 10*time.Second), "h", time.Second) }()
	close(finish)
	if err := <-drained; err != nil {
		t.Fatal(err)
	}
	(<-got).want(t, 200, "done")
	if n := r.control.Stats().Hosts[host]; n != 0 {
		t.Errorf("%d in flight", n)
	}
}

func TestLeaseExpiryLetsEverybodyGo(t *testing.T) {
	t.Parallel()
	b := newBackend(t, says("served"))
	r := serving(t, one(b.endpoint("a", 1)))
	r.hold("h", time.Minute)
	got := make(chan result, 20)
	for range 20 {
		go func() { got <- r.do("POST", "/", "x") }()
	}
	until(t, "all wait", func() bool { return r.waiting("h") == 20 })
	r.hold("h", 50*time.Millisecond) // the last renewal; then the engine dies
	for range 20 {
		(<-got).want(t, 200, "served")
	}
	if err := r.control.Hold("h", HoldRequest{Hosts: []string{host}, LeaseMS: time.Minute.Milliseconds()}); !errors.Is(err, ErrExpired) {
		t.Errorf("an expired hold was renewed: %v", err)
	}
	if err := r.control.Drained(deadline(t, time.Second), "h", 0); !errors.Is(err, ErrExpired) {
		t.Errorf("an expired hold was drained: %v", err)
	}
	held, err := r.control.Release("h")
	if err != nil || !held.Expired || held.Requests != 20 || held.Total < 50*time.Millisecond {
		t.Errorf("held %+v, %v", held, err)
	}
	if _, err := r.control.Release("h"); !errors.Is(err, ErrNotFound) {
		t.Errorf("released twice: %v", err)
	}
}

// TestAVeryShortLease may end before the hold is wholly made; the gate must
// then be open, not in between.
func TestAVeryShortLease(t *testing.T) {
	t.Parallel()
	b := newBackend(t, says("served"))
	r := serving(t, one(b.endpoint("a", 1)))
	for range 200 {
		if err := r.control.Hold("h", HoldRequest{Hosts: []string{host}, LeaseMS: 1}); err != nil {
			t.Fatal(err)
		}
		r.do("GET", "/", "").want(t, 200, "served")
		r.control.Release("h")
	}
}

func TestRenewalExtendsTheLease(t *testing.T) {
	t.Parallel()
	b := newBackend(t, says("served"))
	r := serving(t, one(b.endpoint("a", 1)))
	const lease = time.Second // a busy machine may be late by a good part of it
	r.hold("h", lease)
	began := time.Now()
	tick := time.NewTicker(lease / 10)
	defer tick.Stop()
	for time.Since(began) < 3*lease {
		<-tick.C
		r.hold("h", lease)
	}
	if h, _ := r.control.hold("h"); !h.status().Active {
		t.Fatal("the hold ended although it was renewed")
	}
	held, _ := r.control.Release("h")
	if held.Expired {
		t.Error("marked as expired")
	}
}

func TestDepartedClientsStopWaiting(t *testing.T) {
	t.Parallel()
	b := newBackend(t, says("served"))
	r := serving(t, one(b.endpoint("a", 1)))
	r.hold("h", time.Minute)
	for name, text := range map[string]string{
		"no body":    "GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n",
		"whole body": "POST / HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: 4\r\n\r\nbody",
		"part":       "POST / HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: 400000\r\n\r\nbody",
		"large":      "POST / HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: 70000\r\n\r\n" + strings.Repeat("x", 70000),
		"chunked":    "POST / HTTP/1.1\r\nHost: " + host + "\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
	} {
		c, _ := r.raw(text)
		until(t, name+" waits", func() bool { return r.waiting("h") == 1 })
		reset(c)
		until(t, name+" stops waiting", func() bool { return r.waiting("h") == 0 })
	}
	h, _ := r.control.hold("h")
	if s := h.status(); s.Departed != 5 || s.Held.Requests != 5 {
		t.Errorf("%+v", s)
	}
	until(t, "no room is used", func() bool { return r.control.room.used.Load() == 0 })
	if b.hits.Load() != 0 {
		t.Errorf("%d requests of departed clients were served", b.hits.Load())
	}
}

// reset is how a client goes that wants no answer; one that closes its side only
// may still read.
func reset(c net.Conn) {
	c.(*net.TCPConn).SetLinger(0)
	c.Close()
}

// TestABodyIsWholeAfterAHold: watching for departure must not eat bytes, also
// of those that arrive in pieces while the request waits.
func TestABodyIsWholeAfterAHold(t *testing.T) {
	t.Parallel()
	b := newBackend(t, func(w http.ResponseWriter, r *http.Request) { b, _ := io.ReadAll(r.Body); w.Write(b) })
	r := serving(t, one(b.endpoint("a", 1)))
	r.hold("h", time.Minute)
	body := strings.Repeat("0123456789", 10_000)
	c, br := r.raw(fmt.Sprintf("POST / HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n%s", host, len(body), body[:10]))
	until(t, "it waits", func() bool { return r.waiting("h") == 1 })
	io.WriteString(c, body[10:20000])
	if _, err := r.control.Release("h"); err != nil {
		t.Fatal(err)
	}
	io.WriteString(c, body[20000:])
	res, err := http.ReadResponse(br, nil)
	if err != nil {
		t.Fatal(err)
	}
	if back, err := io.ReadAll(res.Body); err != nil || string(back) != body {
		t.Fatalf("%d bytes came back, %v", len(back), err)
	}
}

func TestTooManyHeldAreRefused(t *testing.T) {
	t.Parallel()
	b := newBackend(t, says("served"))
	r := serving(t, one(b.endpoint("a", 1)), func(c *Config) { c.MaxHeld = 3 })
	r.hold("h", time.Minute)
	got := make(chan result, 3)
	for range 3 {
		go func() { got <- r.do("GET", "/", "") }()
	}
	until(t, "full", func() bool { return r.waiting("h") == 3 })
	refused := r.do("GET", "/", "")
	refused.want(t, 503, "too many requests are waiting\n")
	if refused.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	r.control.Release("h")
	for range 3 {
		(<-got).want(t, 200, "served")
	}
}

func TestReleaseIsInOrderOfArrival(t *testing.T) {
	t.Parallel()
	var room = room{size: 1e6}
	var tasks sync.WaitGroup
	l := &lane{}
	h := newHold("h", nil, []*lane{l}, &room, &tasks)
	h.begin(time.Minute, nil, nil)
	const n = 3*releaseBatch + 7
	var waiters []*waiter
	for range n {
		w := &waiter{since: time.Now(), ready: make(chan struct{})}
		h.enqueue(w)
		waiters = append(waiters, w)
	}
	h.end(false, releasing)
	for i := n - 1; i >= 0; i-- { // once one is ready, all before it must be
		<-waiters[i].ready
		for j := range i {
			select {
			case <-waiters[j].ready:
			default:
				t.Fatalf("request %d went before request %d", i, j)
			}
		}
	}
	tasks.Wait()
	if l.hold.Load() != nil {
		t.Error("the gate is not open")
	}
}

// TestThousandsLeaveAHold: each that was let go goes, and does not queue again
// behind those that still wait.
func TestThousandsLeaveAHold(t *testing.T) {
	t.Parallel()
	const n = 40 * releaseBatch
	r := serving(t, Pool{}, func(c *Config) { c.MaxHeld = n })
	r.hold("h", time.Minute)
	ctx := deadline(t, 30*time.Second)
	var held sync.WaitGroup
	for range n {
		held.Go(func() {
			pass, err := r.control.admit(ctx, host, departure{})
			if err != nil {
				t.Errorf("let go and refused: %v", err)
				return
			}
			pass.leave()
		})
	}
	until(t, "all wait", func() bool { return r.waiting("h") == n })
	released, err := r.control.Release("h")
	if err != nil || released.Requests != n {
		t.Errorf("%+v %v", released, err)
	}
	held.Wait()
}

// TestHeldClientsAreNotToldToContinue: a body that nobody reads yet is not asked for.
func TestHeldClientsAreNotToldToContinue(t *testing.T) {
	t.Parallel()
	r := serving(t, one(newBackend(t, says("served")).endpoint("a", 1)))
	for _, key := range []string{"", "Idempotency-Key: 1\r\n"} {
		r.hold("h", time.Minute)
		c, br := r.raw("POST / HTTP/1.1\r\nHost: " + host + "\r\n" + key + "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")
		until(t, "it waits", func() bool { return r.waiting("h") == 1 })
		c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		if b, err := br.Peek(1); err == nil {
			t.Fatalf("told %q while held", b)
		}
		c.SetReadDeadline(time.Now().Add(10 * time.Second))
		r.control.Release("h")
		if line, err := br.ReadString('\n'); err != nil || line != "HTTP/1.1 100 Continue\r\n" {
			t.Fatalf("%q %v", line, err)
		}
		br.ReadString('\n')
		io.WriteString(c, "order")
		if res, err := http.ReadResponse(br, nil); err != nil || res.StatusCode != 200 {
			t.Fatalf("%v %v", res, err)
		}
	}
}

// TestAnUpgradeWithoutAnAnswerGoesBackToTheGate: else whoever drains would wait
// for as long as the instance takes its time.
func TestAnUpgradeWithoutAnAnswerGoesBackToTheGate(t *testing.T) {
	overBoth(t, testAnUpgradeWithoutAnAnswerGoesBackToTheGate)
}

func testAnUpgradeWithoutAnAnswerGoesBackToTheGate(t *testing.T, l line) {
	var asked atomic.Int64
	r := serving(t, one(l.raw(t, func(c net.Conn) {
		br := bufio.NewReader(c)
		if _, err := http.ReadRequest(br); err != nil || asked.Add(1) == 1 {
			io.Copy(io.Discard, br) // until the gateway goes
			return
		}
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		io.Copy(c, br)
	})))
	c, br := r.raw("GET / HTTP/1.1\r\nHost: " + host + "\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	until(t, "it was asked", func() bool { return asked.Load() == 1 })
	r.hold("h", time.Minute)
	if err := r.control.Drained(deadline(t, 10*time.Second), "h", time.Nanosecond); err != nil {
		t.Fatal(err)
	}
	until(t, "it waits", func() bool { return r.waiting("h") == 1 })
	if held, err := r.control.Release("h"); err != nil || held.Recalled != 1 || len(held.EndedBy) != 0 {
		t.Errorf("%+v %v", held, err)
	}
	if res, err := http.ReadResponse(br, nil); err != nil || res.StatusCode != 101 {
		t.Fatalf("%v %v", res, err)
	}
	io.WriteString(c, "x")
	if b, err := br.ReadByte(); err != nil || b != 'x' {
		t.Errorf("%q %v", b, err)
	}
}

func TestHoldOnHold(t *testing.T) {
	t.Parallel()
	b := newBackend(t, says("served"))
	r := serving(t, one(b.endpoint("a", 1)))
	r.hold("first", time.Minute)
	if err := r.control.Hold("second", HoldRequest{Hosts: []string{host}, LeaseMS: time.Minute.Milliseconds()}); !errors.Is(err, ErrConflict) {
		t.Errorf("two holds on a host: %v", err)
	}
	got := make(chan result, 1)
	go func() { got <- r.do("GET", "/", "") }()
	until(t, "it waits", func() bool { return r.waiting("first") == 1 })
	r.control.Release("first")
	r.hold("second", time.Minute) // perhaps before the request got its turn
	if err := r.control.Drained(deadline(t, 10*time.Second), "second", 0); err != nil {
		t.Fatal(err)
	}
	r.control.Release("second")
	(<-got).want(t, 200, "served")
}

func TestHoldRefusals(t *testing.T) {
	t.Parallel()
	r := serving(t, Pool{})
	for name, c := range map[string]struct {
		id    string
		hosts []string
		lease time.Duration
		want  error
	}{
		"no hosts":     {"h", nil, time.Second, ErrInvalid},
		"unrouted":     {"h", []string{"nobody.example"}, time.Second, ErrNotFound},
		"no lease":     {"h", []string{host}, 0, ErrInvalid},
		"endless":      {"h", []string{host}, time.Hour, ErrInvalid},
		"bad id":       {"h h", []string{host}, time.Second, ErrInvalid},
		"one unrouted": {"h", []string{host, "nobody.example"}, time.Second, ErrNotFound},
	} {
		if err := r.control.Hold(c.id, HoldRequest{Hosts: c.hosts, LeaseMS: c.lease.Milliseconds()}); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if len(r.control.holds) != 0 {
		t.Error("a refused hold is there")
	}
}

func TestDrainClosesUpgradedConnectionsAfterGrace(t *testing.T) {
	overBoth(t, testDrainClosesUpgradedConnectionsAfterGrace)
}

func testDrainClosesUpgradedConnectionsAfterGrace(t *testing.T, l line) {
	b := l.backend(t, func(w http.ResponseWriter, r *http.Request) {
		c, rw, _ := w.(http.Hijacker).Hijack()
		defer c.Close()
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		io.Copy(c, rw)
	})
	r := serving(t, one(b.endpoint("a", 1)))
	_, br := r.raw("GET / HTTP/1.1\r\nHost: " + host + "\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	if res, err := http.ReadResponse(br, nil); err != nil || res.StatusCode != 101 {
		t.Fatalf("%v %v", res, err)
	}
	r.hold("h", time.Minute)
	if err := r.control.Drained(deadline(t, 10*time.Second), "h", 10*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if _, err := br.ReadByte(); err == nil {
		t.Error("the upgraded connection is still open")
	}
}

func TestShutdownRefusesWhatIsHeld(t *testing.T) {
	t.Parallel()
	b := newBackend(t, says("served"))
	r := serving(t, one(b.endpoint("a", 1)))
	r.hold("h", time.Minute)
	got := make(chan result, 1)
	go func() { got <- r.do("POST", "/", "x") }()
	until(t, "it waits", func() bool { return r.waiting("h") == 1 })
	r.end()
	(<-got).want(t, 503, "the gateway is stopping\n")
	if b.hits.Load() != 0 {
		t.Error("a held request was served by a stopping gateway")
	}
}
