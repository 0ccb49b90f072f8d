//go:build linux

package local_test

import (
	"testing"
	"time"
)

func TestPhases(t *testing.T) {
	b := newBench(t)
	l := bistro()
	for range 4 {
		t0 := time.Now()
		b.ok(b.Apply(t.Context(), l, "test"))
		t1 := time.Now()
		b.up(release("test", "menu", 1, 2, shared.good))
		t2 := time.Now()
		b.ok(b.Remove(t.Context(), "test"))
		t.Logf("apply %v launch %v remove %v", t1.Sub(t0), t2.Sub(t1), time.Since(t2))
	}
}
