//go:build linux

package local_test

import (
	"testing"

	"godwit/internal/landscape"
)

// TestRemovedNeed: what is applied without a need that it had shows no edge for it,
// and nobody gets through.
func TestRemovedNeed(t *testing.T) {
	b := newBench(t)
	l := bistro()
	b.apply(l, "test")
	b.up(release("test", "menu", 1, 1, shared.good))
	b.up(release("test", "till", 1, 1, shared.good))
	b.route("test", "till")
	if got := b.must("test", "till", "/get?url=http://menu.svc.internal:8080/"); got != "menu-1" {
		t.Fatalf("menu by name: %q", got)
	}
	for _, want := range []int{2, 1} {
		e, err := b.Observe(t.Context(), "test")
		b.ok(err)
		if len(e.Edges) != want {
			t.Errorf("edges %v, want %d", e.Edges, want)
		}
		l.Services[0].Needs = []landscape.Ref{{Kind: "database", Name: "till"}}
		b.ok(b.Apply(t.Context(), l, "test"))
	}
	if got, err := b.get("test", "till", "/get?url=http://menu.svc.internal:8080/"); err == nil {
		t.Errorf("menu without a need: %q", got)
	}
}
