//go:build linux

package warden_test

import (
	"net/netip"
	"testing"

	"godwit/internal/site/local/network"
)

// TestRemovedEdgeEndsWhatIsOpen: a connection over an edge carries nothing from
// the moment that the edge is removed, and both ends learn it: also one that only
// waits. What goes over another edge goes on.
func TestRemovedEdgeEndsWhatIsOpen(t *testing.T) {
	w := newWorld(t, "10.92.7")
	vip := netip.AddrPortFrom(w.addr(100), 80)
	rules := func(edges ...network.Edge) network.Rules {
		return network.Rules{Edges: edges,
			Virtuals: []network.Virtual{{Address: vip, Endpoints: []netip.AddrPort{w.port(3)}}}}
	}
	w.open(rules(edge(2, 3), edge(4, 3)))
	w.launch(w.instance(2), w.instance(3), w.instance(4))
	// Each holds one connection of i2's or i4's to i3, directly and by the virtual address.
	w.must(2, "/hold?name=direct&to="+w.port(3).String())
	w.must(2, "/hold?name=virtual&to="+vip.String())
	w.must(4, "/hold?name=other&to="+w.port(3).String())
	for _, name := range []string{"direct", "virtual"} {
		if got := w.must(2, "/held?name="+name); got != "i3 echoes" {
			t.Fatalf("%s before: %q", name, got)
		}
	}
	w.open(rules(edge(4, 3)))
	for _, name := range []string{"direct", "virtual"} {
		if got := w.must(2, "/ended?name="+name); got != "ended" {
			t.Errorf("%s: the end that opened it: %s", name, got)
		}
	}
	if got := w.must(3, "/served?want=1"); got != "1" {
		t.Errorf("the end that was asked still serves %s connections, want that of i4 alone", got)
	}
	if got := w.must(4, "/held?name=other"); got != "i3 echoes" {
		t.Errorf("over the other edge: %q", got)
	}
}
