package gateway

import (
	"fmt"
	"net/http"
	"os"
	"testing"
	"time"
)

// inState counts what is in flight by its state.
func (r *running) inState() map[string]int {
	n := map[string]int{}
	now := time.Now()
	for _, f := range r.control.flights() {
		n[f.view(now).State]++
	}
	return n
}

// TestNoClientDecides: however many slow clients there are, of whatever kind, a
// hold is drained; what was ended is told; and of the orders that tills send
// meanwhile each is carried out once and acknowledged.
// GODWIT_SOAK=1: 200 of each kind, 20 moves.
func TestNoClientDecides(t *testing.T) {
	t.Parallel()
	each, moves := 3, 4
	if os.Getenv("GODWIT_SOAK") != "" {
		each, moves = 200, 20
	}
	sides := []*site{newSite(t), newSite(t)}
	r := start(t, func(c *Config) { // nothing that a busy machine could miss
		c.RateLead, c.ReadHeaderTimeout, c.BodyIdleTimeout, c.WriteIdleTimeout = time.Hour, time.Hour, time.Hour, time.Hour
		c.DialTimeout, c.ResponseTimeout, c.EndpointWait = time.Hour, time.Hour, time.Hour
	})
	for i, s := range sides {
		r.pool(fmt.Sprint("side/", i), one(s.endpoint("i", 1)))
	}
	r.route(host, "side/0")
	slow, orders := newCrowd(t, r.Addr(), each), newTills(t, r, 8)
	defer slow.leave()

	for move := range moves {
		within(t, 3*time.Minute, "all slow clients are at work", func() bool {
			n := r.inState()
			return n[Uploading] >= each && n[Unanswered] >= each && n[SlowReader] > 0 && n[Streaming]+n[SlowReader] >= 2*each && n[Tunnel] >= each
		})
		if _, err := r.control.Settled(deadline(t, time.Minute), []string{host}, 20*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		r.hold("move", 5*time.Minute)
		began := time.Now()
		if err := r.control.Drained(deadline(t, 3*time.Minute), "move", r.cfg.HoldGrace); err != nil {
			t.Fatalf("move %d: %v", move, err)
		}
		took := time.Since(began)
		hits := sides[0].hits.Load() + sides[1].hits.Load()
		within(t, time.Minute, "tills wait", func() bool { return r.waiting("move") >= 8 })
		if n := sides[0].hits.Load() + sides[1].hits.Load() - hits; n != 0 {
			t.Fatalf("%d requests reached a side while it was drained", n)
		}
		r.route(host, fmt.Sprint("side/", (move+1)%2))
		held, err := r.control.Release("move")
		if err != nil || held.Recalled < int64(each) || held.EndedBy[Uploading] < int64(each) || held.EndedBy[Tunnel] < int64(each) ||
			held.EndedBy[Streaming]+held.EndedBy[SlowReader] < int64(2*each) || held.EndedBy[Unanswered]+held.EndedBy[Seeking] != 0 {
			t.Errorf("move %d: recalled %d, ended %v, %v", move, held.Recalled, held.EndedBy, err)
		}
		for _, f := range held.Ended {
			if f.Host != host || f.Path == "" || f.Age <= 0 {
				t.Errorf("not named: %+v", f)
			}
		}
		t.Logf("move %d: drained in %s, recalled %d, ended %v", move, took, held.Recalled, held.EndedBy)
	}
	orders.close()
	once(t, orders.orders.Load(), sides)
}

// once: each order was carried out exactly once, on whatever side.
func once(t *testing.T, n int64, sides []*site) {
	found := map[string]int{}
	for _, s := range sides {
		s.mu.Lock()
		for id, times := range s.orders {
			found[id] += times
		}
		s.mu.Unlock()
	}
	for id := range n {
		if times := found[fmt.Sprint(id+1)]; times != 1 {
			t.Errorf("order %d was carried out %d times", id+1, times)
		}
	}
	t.Logf("%d orders, each carried out once", n)
}

// TestASilentUploadIsToldThatItWasEnded: it gets its answer although nothing of
// its body comes any more.
func TestASilentUploadIsToldThatItWasEnded(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	r := serving(t, one(s.endpoint("i", 1)))
	_, br := r.raw("POST /upload HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: 1000000\r\n\r\nx")
	until(t, "an instance sees it", func() bool { return s.hits.Load() == 1 })
	r.hold("h", time.Minute)
	if err := r.control.Drained(deadline(t, 20*time.Second), "h", time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if res, err := http.ReadResponse(br, nil); err != nil || res.StatusCode != 503 || !res.Close || res.Header.Get("Retry-After") == "" {
		t.Errorf("%+v %v", res, err)
	}
}
