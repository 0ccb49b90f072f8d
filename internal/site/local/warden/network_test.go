//go:build linux

package warden_test

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"godwit/internal/site/local/network"
	"godwit/internal/site/local/warden"
)

// TestMatrix asks, with real packets, for every ordered pair of two
// environments and the outside, and compares with the rules.
func TestMatrix(t *testing.T) {
	worlds := []*world{newWorld(t, "10.92.0"), newWorld(t, "10.92.1")}
	for _, w := range worlds {
		w.open(network.Rules{Edges: []network.Edge{edge(2, 3), edge(4, 3)}})
		w.launch(w.instance(2), w.instance(3), w.instance(4))
	}
	outside := []netip.AddrPort{netip.MustParseAddrPort("198.51.100.1:80"), netip.MustParseAddrPort("8.8.8.8:53")}
	for _, w := range worlds {
		var probes []warden.Probe
		for _, from := range []string{"", "i2", "i3", "i4"} {
			for _, in := range worlds {
				for n := 1; n < 6; n++ {
					for _, port := range []uint16{8080, 8081, 22} {
						probes = append(probes, ask(from, netip.AddrPortFrom(in.addr(n), port)))
					}
				}
			}
			for _, to := range outside {
				probes = append(probes, ask(from, to))
			}
		}
		answers, err := w.Probe(t.Context(), probes)
		if err != nil {
			t.Fatal(err)
		}
		for i, p := range probes {
			if got, want := answers[i], expected(w, p); got.Outcome != want || got.Error != "" {
				t.Errorf("%s -> %s: %+v, want %s", p.From, p.To, got, want)
			}
		}
	}
}

func ask(from string, to netip.AddrPort) warden.Probe {
	return warden.Probe{From: from, Network: "tcp", To: to, Timeout: 3 * time.Second}
}

func expected(w *world, p warden.Probe) network.Outcome {
	self := map[string]netip.Addr{"": w.addr(1), "i2": w.addr(2), "i3": w.addr(3), "i4": w.addr(4)}[p.From]
	isSelf := p.To.Addr() == self
	switch {
	case isSelf && p.From != "" && p.To.Port() == 8080:
		return network.Open
	case isSelf:
		return network.Refused // its own machine, nobody listens
	case p.From == "" && p.To.Port() == 8080 && slices.Contains([]netip.Addr{w.addr(2), w.addr(3), w.addr(4)}, p.To.Addr()):
		return network.Open
	case (p.From == "i2" || p.From == "i4") && p.To == w.port(3):
		return network.Open
	}
	return network.Unreachable
}

// TestDeniedAtOnce: every denied packet gets an answer, also many in a row, UDP too.
func TestDeniedAtOnce(t *testing.T) {
	w := newWorld(t, "10.92.2")
	w.open(network.Rules{})
	w.launch(w.instance(2))
	var probes []warden.Probe
	for i := range 400 {
		p := ask("i2", netip.AddrPortFrom(w.addr(3), uint16(1000+i)))
		if i%2 == 1 {
			p.Network = "udp"
		}
		probes = append(probes, p)
	}
	began := time.Now()
	answers, err := w.Probe(t.Context(), probes)
	if err != nil {
		t.Fatal(err)
	}
	for i, a := range answers {
		if a.Outcome != network.Unreachable {
			t.Fatalf("%+v: %+v", probes[i], a)
		}
	}
	t.Logf("400 denied in %v", time.Since(began))
}

// TestVirtual: new connections go over the endpoints by their share.
func TestVirtual(t *testing.T) {
	w := newWorld(t, "10.92.3")
	vip := netip.AddrPortFrom(w.addr(100), 80)
	edges := []network.Edge{edge(2, 3), edge(2, 4)}
	w.open(network.Rules{Edges: edges, Virtuals: []network.Virtual{{Address: vip,
		Endpoints: network.Spread([][]netip.AddrPort{{w.port(3)}, {w.port(4)}}, []int{90, 30})}}})
	w.launch(w.instance(2), w.instance(3), w.instance(4))
	got := map[string]int{}
	for range 40 {
		got[w.must(2, "/get?url=http://"+vip.String()+"/")]++
	}
	// On a busy machine the first packet of a connection may be sent twice, and a turn with it.
	if got["i3"]+got["i4"] != 40 || got["i3"] < 29 || got["i3"] > 31 {
		t.Errorf("shares %v, want 30 of i3 and 10 of i4", got)
	}
	// Nobody else may use the address, and only its port is there.
	answers, err := w.Probe(t.Context(), []warden.Probe{ask("i3", vip), ask("i2", netip.AddrPortFrom(vip.Addr(), 81)), ask("", vip)})
	if err != nil {
		t.Fatal(err)
	}
	for i, a := range answers {
		if a.Outcome != network.Unreachable {
			t.Errorf("probe %d of a virtual address: %+v", i, a)
		}
	}
	// An endpoint that dies leaves the rotation by itself.
	if err := w.Stop(t.Context(), "i3"); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if got := w.must(2, "/get?url=http://"+vip.String()+"/"); got != "i4" {
			t.Fatalf("after i3 ended: %q", got)
		}
	}
}

// TestSwapUnderLoad: replacing all rules again and again fails no connection.
func TestSwapUnderLoad(t *testing.T) {
	w := newWorld(t, "10.92.4")
	vip := netip.AddrPortFrom(w.addr(100), 80)
	rules := func(weights ...int) network.Rules {
		return network.Rules{Edges: []network.Edge{edge(2, 3), edge(2, 4)},
			Virtuals: []network.Virtual{{Address: vip,
				Endpoints: network.Spread([][]netip.AddrPort{{w.port(3)}, {w.port(4)}}, weights)}}}
	}
	w.open(rules(1, 0))
	w.launch(w.instance(2), w.instance(3), w.instance(4))
	var failed, done atomic.Int64
	var load sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		load.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				got, err := w.get(2, "/get?url=http://"+vip.String()+"/")
				if err != nil || got != "i3" && got != "i4" {
					failed.Add(1)
					t.Logf("%q %v", got, err)
				}
				done.Add(1)
			}
		})
	}
	for i := range 100 {
		w.open(rules(1+i%3, i%2))
	}
	close(stop)
	load.Wait()
	t.Logf("%d requests over 100 swaps", done.Load())
	if failed.Load() > 0 || done.Load() < 50 {
		t.Errorf("%d of %d requests failed", failed.Load(), done.Load())
	}
}

// TestOwnFaces: what an instance sees of the world is its own.
func TestHostsFile(t *testing.T) {
	w := newWorld(t, "10.92.5")
	w.open(network.Rules{Edges: []network.Edge{edge(2, 3)}})
	i := w.instance(2)
	i.Spec.Hosts = map[string]netip.Addr{"menu.svc.internal": w.addr(3)}
	w.launch(i, w.instance(3))
	if got := w.must(2, "/get?url=http://menu.svc.internal:8080/"); got != "i3" {
		t.Errorf("by name: %q", got)
	}
	for _, leak := range os.Environ() {
		if name, _, _ := strings.Cut(leak, "="); name != "NAME" && strings.Contains(w.must(2, "/env"), fmt.Sprintf("%q", leak)) {
			t.Errorf("the environment variable %s of the host is inside", name)
		}
	}
}
