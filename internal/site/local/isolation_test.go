//go:build linux

package local_test

import (
	"net"
	"testing"
	"time"

	"godwit/internal/landscape"
	"godwit/internal/site"
)

// TestIsolation: every ordered pair over two environments, with a relay open
// and without.
func TestIsolation(t *testing.T) {
	b := newBench(t)
	l := bistro()
	for _, e := range []string{"test", "stage"} {
		b.apply(l, e)
		b.up(release(e, "menu", 1, 2, shared.good))
		b.up(release(e, "till", 1, 2, shared.good))
	}
	before := b.isolated(l)
	source, err := net.Listen("tcp", "127.0.0.1:0")
	b.ok(err)
	defer source.Close()
	relay, err := b.OpenRelay(t.Context(), "test", "till", source.Addr().String())
	b.ok(err)
	again, err := b.OpenRelay(t.Context(), "test", "till", source.Addr().String())
	if err != nil || again != relay {
		t.Errorf("opened again: %+v, %v; first %+v", again, err, relay)
	}
	open := b.isolated(l)
	if open.Allowed != before.Allowed+1 {
		t.Errorf("with the relay %d pairs are allowed, without %d", open.Allowed, before.Allowed)
	}
	for range 2 {
		b.ok(b.CloseRelay(t.Context(), "test", "till"))
	}
	if after := b.isolated(l); after.Allowed != before.Allowed || after.Pairs != before.Pairs {
		t.Errorf("after the relay %+v, before %+v", after, before)
	}
	if conn, err := net.Dial("tcp", relay.Target); err == nil {
		conn.Close()
		t.Error("the relay still listens")
	}
}

func (b *bench) isolated(l *landscape.Landscape) site.Isolation {
	b.Helper()
	began := time.Now()
	found, err := b.CheckIsolation(b.Context(), l)
	b.ok(err)
	b.Logf("%d pairs, %d allowed, %d denied, %d wrong in %v", found.Pairs, found.Allowed, found.Denied, found.Wrong, time.Since(began))
	for _, d := range found.Details {
		b.Error("wrong:", d)
	}
	if found.Pairs != found.Allowed+found.Denied+found.Wrong || found.Pairs == 0 || found.Allowed == 0 {
		b.Errorf("counts don't add up: %+v", found)
	}
	return found
}

// TestIsolationFindsHoles: the packet test must be able to fail.
func TestIsolationFindsHoles(t *testing.T) {
	b := newBench(t)
	l := bistro()
	b.apply(l, "test")
	b.up(release("test", "menu", 1, 1, shared.good))
	b.up(release("test", "till", 1, 1, shared.good))
	stricter := bistro()
	stricter.Services[0].Needs = nil
	found, err := b.CheckIsolation(t.Context(), stricter)
	b.ok(err)
	if found.Wrong != 3 { // database, menu's instance, menu's virtual address
		t.Errorf("%d wrong, want 3: %v", found.Wrong, found.Details)
	}
	looser := bistro()
	looser.Services[1].Needs = []landscape.Ref{{Kind: "database", Name: "till"}}
	found, err = b.CheckIsolation(t.Context(), looser)
	b.ok(err)
	if found.Wrong != 1 {
		t.Errorf("%d wrong, want 1: %v", found.Wrong, found.Details)
	}
}
