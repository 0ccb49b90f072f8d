package gateway

import (
	"encoding/json"
	"os"
	"testing"
	"time"
)

// afterKill is the gateway that comes after one that was killed just now: it finds
// the files as they are.
func afterKill(t *testing.T, killed Config) *running {
	t.Helper()
	cfg := testConfig(t)
	for _, suffix := range []string{"", ".holds"} {
		text, err := os.ReadFile(killed.State + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(cfg.State+suffix, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return startWith(t, cfg)
}

// between is a gateway whose route leads from one side and may lead to another one.
func between(t *testing.T) (Config, *running, *backend) {
	t.Helper()
	from, to := newBackend(t, says("from")), newBackend(t, says("to"))
	cfg := testConfig(t)
	r := startWith(t, cfg)
	r.pool("from", one(from.endpoint("a", 1)))
	r.pool("to", one(to.endpoint("b", 1)))
	r.route(host, "from")
	return cfg, r, from
}

// goesOn: a request waits in the hold until that is released towards the other side.
func goesOn(t *testing.T, next *running, from *backend) {
	t.Helper()
	got := make(chan result, 1)
	go func() { got <- next.do("POST", "/", "order") }()
	until(t, "it waits", func() bool { return next.control.Stats().Waiting == 1 })
	next.route(host, "to")
	if _, err := next.control.Release("cutover"); err != nil {
		t.Fatal(err)
	}
	(<-got).want(t, 200, "to")
	if from.hits.Load() != 0 {
		t.Error("it was sent to the side that takes no writes")
	}
}

// TestHoldOutlivesTheGateway: what a killed gateway has held, the next one holds: to
// let it go would send it to a side that takes no writes.
func TestHoldOutlivesTheGateway(t *testing.T) {
	t.Parallel()
	cfg, killed, from := between(t)
	killed.hold("cutover", time.Minute)

	next := afterKill(t, cfg)
	goesOn(t, next, from)
	afterKill(t, Config{State: next.cfg.State}).do("POST", "/", "order").want(t, 200, "to") // what was released holds nobody
}

// TestLeaseEndsWithoutAGateway: nobody is held for longer because a gateway was killed.
func TestLeaseEndsWithoutAGateway(t *testing.T) {
	t.Parallel()
	cfg, killed, _ := between(t)
	if err := killed.control.Hold("cutover", HoldRequest{Hosts: []string{host}, LeaseMS: 1500, ExpireRoutes: map[string]string{host: "to"}}); err != nil {
		t.Fatal(err)
	}
	afterKill(t, cfg).do("POST", "/", "order").want(t, 200, "to")
}

// TestMissedEndOfALease: while a gateway hung nobody could tell it where the
// requests of a hold go now. The one that replaces it waits for that, or else it
// would send them to a side that has given the truth away.
func TestMissedEndOfALease(t *testing.T) {
	t.Parallel()
	cfg, hung, from := between(t)
	hung.hold("cutover", time.Minute)
	kept := []keptHold{{ID: "cutover", Hosts: []string{host}, Until: time.Now().Add(-time.Second), ExpireRoutes: map[string]string{host: "from"}}}
	text, err := json.Marshal(kept)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(hung.control.holdsFile(), text, 0o600); err != nil {
		t.Fatal(err)
	}
	next := afterKill(t, cfg)
	goesOn(t, next, from)
}

// TestStoppedOverTheEndOfALease: the same for a gateway that goes on after it was stopped.
func TestStoppedOverTheEndOfALease(t *testing.T) {
	t.Parallel()
	_, r, _ := between(t)
	r.hold("cutover", time.Minute)
	r.control.mu.Lock()
	h := r.control.holds["cutover"]
	r.control.mu.Unlock()
	h.mu.Lock()
	h.deadline = time.Now().Add(-2 * missedBy)
	h.mu.Unlock()
	if _, over := h.due(); over {
		t.Error("it lets its requests go before anybody could say where")
	}
	h.mu.Lock()
	h.deadline = time.Now().Add(-missedBy / 2)
	h.mu.Unlock()
	if _, over := h.due(); !over {
		t.Error("a lease that is over does not end")
	}
}
