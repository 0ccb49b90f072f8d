package landscape_test

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"godwit/internal/landscape"
)

func drawLandscape(t *rapid.T, most int) *landscape.Landscape {
	name := rapid.StringMatching(`[a-z][a-z0-9]{0,6}`)
	l := &landscape.Landscape{Name: "l"}
	bits := rapid.IntRange(16, 22).Draw(t, "bits")
	l.Environments = []landscape.Environment{{Name: "e", Network: netip.PrefixFrom(netip.MustParseAddr("10.64.0.0"), bits)}}
	for _, n := range rapid.SliceOfNDistinct(name, 0, most, rapid.ID).Draw(t, "services") {
		l.Services = append(l.Services, landscape.Service{Name: n, Port: 80})
	}
	for _, n := range rapid.SliceOfNDistinct(name, 0, 20, rapid.ID).Draw(t, "databases") {
		l.Databases = append(l.Databases, landscape.Database{Name: n})
	}
	return l
}

// Addresses are in the network, in their own quarter, and nobody shares one.
func TestAddressesAreApart(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l := drawLandscape(t, 254)
		a, ok := l.Addresses("e")
		if !ok {
			t.Fatal("no addresses")
		}
		network := l.Environments[0].Network
		seen := map[netip.Addr]string{a.Router: "router"}
		check := func(all map[string]netip.Addr, kind string) {
			for name, addr := range all {
				if other, taken := seen[addr]; taken {
					t.Fatalf("%s is of %s and %s %s", addr, other, kind, name)
				}
				seen[addr] = kind + " " + name
				if !network.Contains(addr) || a.Instances.Contains(addr) {
					t.Fatalf("%s %s has %s outside of its range", kind, name, addr)
				}
			}
		}
		check(a.Services, "service")
		check(a.Databases, "database")
		if len(a.Services) != len(l.Services) || len(a.Databases) != len(l.Databases) {
			t.Fatal("somebody has no address")
		}
		if !network.Contains(a.Instances.Addr()) || a.Instances.Contains(a.Router) {
			t.Fatal("instances are out of range")
		}
	})
}

// The order of declaration means nothing.
func TestAddressesIgnoreOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l := drawLandscape(t, 60)
		before, _ := l.Addresses("e")
		l.Services = rapid.Permutation(l.Services).Draw(t, "services")
		after, _ := l.Addresses("e")
		if !maps.Equal(before.Services, after.Services) {
			t.Fatal("addresses depend on the order")
		}
	})
}

// Another service moves at most those that follow it in one run of neighbours;
// in a network that is nearly empty, that is nobody.
func TestAddressesStay(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l := drawLandscape(t, 40)
		newcomer := rapid.StringMatching(`new-[a-z]{3}`).Draw(t, "newcomer")
		before, _ := l.Addresses("e")
		l.Services = append(l.Services, landscape.Service{Name: newcomer, Port: 80})
		after, _ := l.Addresses("e")
		used := slices.Collect(maps.Values(before.Services))
		alone := !slices.Contains(used, after.Services[newcomer])
		for name, addr := range before.Services {
			if alone && after.Services[name] != addr {
				t.Fatalf("%s moved from %s to %s though nobody took its place", name, addr, after.Services[name])
			}
		}
		if !maps.Equal(before.Databases, after.Databases) {
			t.Fatal("a service moved a database")
		}
	})
}

func TestAddressesOfBistro(t *testing.T) {
	t.Parallel()
	l := &landscape.Landscape{
		Environments: []landscape.Environment{{Name: "p", Network: netip.MustParsePrefix("10.30.0.0/16")}},
		Services:     []landscape.Service{{Name: "till"}, {Name: "menu"}, {Name: "kitchen"}},
		Databases:    []landscape.Database{{Name: "till"}, {Name: "menu"}},
	}
	a, ok := l.Addresses("p")
	// Written down because addresses must not change from version to version.
	want := "10.30.0.1 map[kitchen:10.30.68.100 menu:10.30.114.21 till:10.30.108.95] map[menu:10.30.178.21 till:10.30.172.95] 10.30.192.0/18"
	if got := fmt.Sprint(a.Router, a.Services, a.Databases, a.Instances); !ok || got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if addr, ok := l.ServiceAddress("p", "till"); !ok || addr != a.Services["till"] {
		t.Error("ServiceAddress differs from Addresses")
	}
	for _, ask := range []func() bool{
		func() bool { _, ok := l.ServiceAddress("p", "none"); return ok },
		func() bool { _, ok := l.DatabaseAddress("none", "till"); return ok },
		func() bool { _, ok := l.InstanceRange("none"); return ok },
		func() bool { _, ok := l.RouterAddress("none"); return ok },
	} {
		if ask() {
			t.Error("an address of nothing")
		}
	}
}
