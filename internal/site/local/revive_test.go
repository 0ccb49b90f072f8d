//go:build linux

package local_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"godwit/internal/site"
)

// TestRequestsWaitForARevival: what is asked between an environment's death and its
// return is answered when it is back, and not before it and its database are ready.
func TestRequestsWaitForARevival(t *testing.T) {
	b := newBench(t)
	b.apply(bistro(), "test")
	b.up(release("test", "menu", 1, 2, shared.good))
	b.up(release("test", "till", 1, 2, shared.good))
	b.route("test", "till")
	for death := range 3 {
		for range 4 {
			b.must("test", "till", "/") // connections that the gateway keeps
		}
		b.killWarden("test")
		const n = 20
		answers := make(chan error, n)
		for range n {
			go func() {
				text, err := b.get("test", "till", "/")
				if err == nil && text != "till-1" {
					err = fmt.Errorf("answered %q", text)
				}
				answers <- err
			}()
		}
		b.ok(b.Revive(t.Context(), "test"))
		for range n {
			if err := <-answers; err != nil {
				t.Errorf("death %d: %v", death+1, err)
			}
		}
	}
}

// TestHalfRevivedIsDead: whoever brings an environment back may end in the middle of
// it. What lives then is no environment: the pulse says so, until all of it is there.
func TestHalfRevivedIsDead(t *testing.T) {
	b := newBench(t)
	b.apply(bistro(), "test")
	b.up(release("test", "till", 1, 2, shared.good))
	half := 0
	for cut := 25 * time.Millisecond; cut < time.Second; cut += cut / 2 {
		b.killWarden("test")
		limit, end := context.WithTimeout(t.Context(), cut)
		whole := b.Revive(limit, "test") == nil
		end()
		pulse := b.Pulse(t.Context(), "test")
		switch {
		case errors.Is(pulse, site.ErrDead):
			half++
			b.ok(b.Revive(t.Context(), "test"))
		case pulse != nil || !whole:
			t.Errorf("cut off after %v, whole: %v; its pulse: %v", cut, whole, pulse)
		}
		b.await("back", b.databaseReady)
	}
	if half == 0 {
		t.Error("no revival was cut off")
	}
}
