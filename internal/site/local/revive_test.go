//go:build linux

package local_test

import (
	"fmt"
	"testing"
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
