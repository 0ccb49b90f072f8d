package gateway

import (
	"errors"
	"os"
	"testing"
	"time"
)

// twoSides is a gateway with a source and a target, routed to the source.
func twoSides(t *testing.T) (r *running, source, target *backend) {
	source, target = newBackend(t, says("source")), newBackend(t, says("target"))
	r = start(t)
	r.pool("source/till", one(source.endpoint("s", 1)))
	r.pool("target/till", one(target.endpoint("t", 1)))
	r.route(host, "source/till")
	return r, source, target
}

func holdElse(lease time.Duration, pool string) HoldRequest {
	return HoldRequest{Hosts: []string{host}, LeaseMS: lease.Milliseconds(), ExpireRoutes: map[string]string{host: pool}}
}

// TestALeaseThatEndsSendsTheHeldWhereItWasTold: not one held request reaches
// the side that the route pointed at, and a gateway that starts afterwards knows.
func TestALeaseThatEndsSendsTheHeldWhereItWasTold(t *testing.T) {
	t.Parallel()
	r, source, _ := twoSides(t)
	if err := r.control.Hold("h", holdElse(time.Minute, "source/till")); err != nil {
		t.Fatal(err)
	}
	got := make(chan result, 50)
	for range cap(got) {
		go func() { got <- r.do("POST", "/", "order") }()
	}
	until(t, "all wait", func() bool { return r.waiting("h") == int64(cap(got)) })
	// The engine decides, says so with a renewal, and dies.
	if err := r.control.Hold("h", holdElse(20*time.Millisecond, "target/till")); err != nil {
		t.Fatal(err)
	}
	for range cap(got) {
		(<-got).want(t, 200, "target")
	}
	if n := source.hits.Load(); n != 0 {
		t.Errorf("%d requests went to the side that may not have them", n)
	}
	if held, err := r.control.Release("h"); err != nil || !held.Expired {
		t.Errorf("%+v %v", held, err)
	}
	saved, err := r.control.state.load(r.cfg.Log)
	if err != nil || saved.Routes[host].Pool != "target/till" {
		t.Errorf("saved: %+v %v", saved.Routes, err)
	}
}

// TestALeaseThatEndsOnAFullDisk: the requests go where they were told all the same.
func TestALeaseThatEndsOnAFullDisk(t *testing.T) {
	t.Parallel()
	r, source, _ := twoSides(t)
	if err := r.control.Hold("h", holdElse(time.Minute, "target/till")); err != nil {
		t.Fatal(err)
	}
	got := make(chan result, 1)
	go func() { got <- r.do("POST", "/", "order") }()
	until(t, "it waits", func() bool { return r.waiting("h") == 1 })
	if err := os.Mkdir(r.cfg.State+".tmp", 0o700); err != nil { // saving fails
		t.Fatal(err)
	}
	if err := r.control.Hold("h", holdElse(time.Millisecond, "target/till")); err != nil {
		t.Fatal(err)
	}
	(<-got).want(t, 200, "target")
	if source.hits.Load() != 0 {
		t.Error("a request went to the side that may not have it")
	}
	if err := os.Remove(r.cfg.State + ".tmp"); err != nil {
		t.Fatal(err)
	}
	r.route(host, "source/till") // and the next change is saved again
}

func TestWhereALeaseEndsMustBeThere(t *testing.T) {
	t.Parallel()
	r, _, _ := twoSides(t)
	for name, req := range map[string]HoldRequest{
		"no pool":      holdElse(time.Minute, "nowhere"),
		"not its host": {Hosts: []string{host}, LeaseMS: 1000, ExpireRoutes: map[string]string{"other.example": "target/till"}},
	} {
		if err := r.control.Hold("h", req); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := r.control.Hold("h", holdElse(time.Minute, "target/till")); err != nil {
		t.Fatal(err)
	}
	if _, err := r.control.DeletePool("target/till"); !errors.Is(err, ErrConflict) {
		t.Errorf("the pool that the lease's end needs was deleted: %v", err)
	}
	if _, err := r.control.Release("h"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.control.DeletePool("target/till"); err != nil {
		t.Error(err)
	}
}
