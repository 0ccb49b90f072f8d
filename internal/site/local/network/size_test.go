//go:build linux

package network_test

import (
	"fmt"
	"net/netip"
	"os"
	"testing"

	"godwit/internal/site/local/network"
)

// The nftables package numbers its sets in a variable of its own: these tests make
// a router each, and so run one after the other.

// city are the rules of n services of three instances: each needs the next one.
func city(n int) network.Rules {
	rules := network.Rules{Parties: map[string]network.Party{}}
	name := func(i int) string { return fmt.Sprintf("service %d", i%n) }
	for i := range n {
		var p network.Party
		for k := range 3 {
			a := netip.AddrFrom4([4]byte{10, 1, byte(i / 64), byte(i%64*4 + k)})
			p.From, p.At = append(p.From, a), append(p.At, netip.AddrPortFrom(a, 8080))
		}
		rules.Parties[name(i)] = p
		rules.Router = append(rules.Router, p.At...)
		rules.Edges = append(rules.Edges, network.Edge{From: name(i), To: name(i + 1)})
		virtual := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 2, byte(i / 250), byte(i % 250)}), 80)
		rules.Virtuals = append(rules.Virtuals, network.Virtual{Address: virtual, Endpoints: p.At})
	}
	return rules
}

// TestChangeCostsWhatItChanges: an instance more, an edge less and other shares of
// an address take as much among 10 services as among 1,000.
func TestChangeCostsWhatItChanges(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can make a network and go into it from here")
	}
	costs := map[int][]int{}
	for _, services := range []int{10, 1000} {
		err := network.Within(elsewhere(t), func() error {
			router, err := network.NewRouter(netip.MustParseAddr("10.0.0.1"))
			if err != nil {
				return err
			}
			if _, err := router.Apply(city(services)); err != nil {
				return err
			}
			again, err := router.Apply(city(services))
			costs[services] = append(costs[services], again.Written)
			if err != nil {
				return err
			}
			for _, change := range []func(*network.Rules){oneMore, oneLess, otherShares, fewerEdges} {
				rules := city(services)
				change(&rules)
				applied, err := router.Apply(rules)
				costs[services] = append(costs[services], applied.Written)
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("elements written: %v", costs)
	if costs[10][0] != 0 {
		t.Errorf("%d elements written for no change", costs[10][0])
	}
	for i, small := range costs[10] {
		if large := costs[1000][i]; large != small || small > 20 {
			t.Errorf("change %d: %d elements among 10 services, %d among 1,000", i, small, large)
		}
	}
}

func oneMore(r *network.Rules) {
	a := netip.MustParseAddr("10.1.200.1")
	p := r.Parties["service 1"]
	p.From, p.At = append(p.From, a), append(p.At, netip.AddrPortFrom(a, 8080))
	r.Parties["service 1"] = p
}

func oneLess(r *network.Rules) {
	p := r.Parties["service 2"]
	p.From, p.At = p.From[1:], p.At[1:]
	r.Parties["service 2"] = p
}

func otherShares(r *network.Rules) {
	r.Virtuals[3].Endpoints = append(r.Virtuals[3].Endpoints, r.Virtuals[3].Endpoints[0])
}

func fewerEdges(r *network.Rules) { r.Edges = r.Edges[1:] }

// TestOneLargeService: as many instances as a network of 65,000 addresses holds
// are one set of rules, each of them with a way to each.
func TestOneLargeService(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can make a network and go into it from here")
	}
	var large network.Party
	for i := range 20_000 {
		a := netip.AddrFrom4([4]byte{10, 1, byte(i / 250), byte(i % 250)})
		large.From, large.At = append(large.From, a), append(large.At, netip.AddrPortFrom(a, 8080))
	}
	rules := network.Rules{Parties: map[string]network.Party{"large": large}, Edges: []network.Edge{{From: "large", To: "large"}},
		Router: large.At, Virtuals: []network.Virtual{{Address: netip.MustParseAddrPort("10.2.0.1:80"), Endpoints: large.At}}}
	err := network.Within(elsewhere(t), func() error {
		router, err := network.NewRouter(netip.MustParseAddr("10.0.0.1"))
		if err != nil {
			return err
		}
		for _, r := range []network.Rules{rules, {}, rules} {
			if _, err := router.Apply(r); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
