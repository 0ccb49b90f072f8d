package landscape

import (
	"encoding/binary"
	"hash/fnv"
	"net/netip"
	"slices"
)

// smallestNetwork is the longest prefix that an environment may have.
const smallestNetwork = 22

// DatabasePort is the TCP port of every database inside its environment.
const DatabasePort = 5432

// Addresses are the addresses of one environment. Its network is cut in four:
// infrastructure, services, databases, instances.
//
// They depend on nothing but network and names, so that every process computes
// the same. An address stays when something else is declared or removed, except
// when the two names fall on the same place.
type Addresses struct {
	Router    netip.Addr            // the environment's router: the first host of its network
	Services  map[string]netip.Addr // virtual address of each service
	Databases map[string]netip.Addr
	Instances netip.Prefix // instances take theirs from here, the first and the last one excepted
}

// Addresses computes the addresses of an environment; false when it is not
// declared or its network cannot hold the landscape, which Parse reports.
func (l *Landscape) Addresses(environment string) (Addresses, bool) {
	e, ok := l.Environment(environment)
	if !ok || !e.Network.IsValid() || e.Network.Bits() > smallestNetwork || !e.Network.Addr().Is4() {
		return Addresses{}, false
	}
	services, okServices := spread(quarter(e.Network, 1), namesOf(l.Services, func(s Service) string { return s.Name }))
	databases, okDatabases := spread(quarter(e.Network, 2), namesOf(l.Databases, func(d Database) string { return d.Name }))
	return Addresses{
		Router:    quarter(e.Network, 0).Addr().Next(),
		Services:  services,
		Databases: databases,
		Instances: quarter(e.Network, 3),
	}, okServices && okDatabases
}

// RouterAddress is Addresses.Router of an environment.
func (l *Landscape) RouterAddress(environment string) (netip.Addr, bool) {
	a, ok := l.Addresses(environment)
	return a.Router, ok
}

// ServiceAddress is the virtual address of one service. Who needs many calls
// Addresses once.
func (l *Landscape) ServiceAddress(environment, service string) (netip.Addr, bool) {
	a, ok := l.Addresses(environment)
	addr, known := a.Services[service]
	return addr, ok && known
}

// DatabaseAddress is the address of one database.
func (l *Landscape) DatabaseAddress(environment, database string) (netip.Addr, bool) {
	a, ok := l.Addresses(environment)
	addr, known := a.Databases[database]
	return addr, ok && known
}

// InstanceRange is where the addresses of instances are taken from.
func (l *Landscape) InstanceRange(environment string) (netip.Prefix, bool) {
	a, ok := l.Addresses(environment)
	return a.Instances, ok
}

func namesOf[T any](all []T, name func(T) string) []string {
	var names []string
	for _, one := range all {
		names = append(names, name(one))
	}
	return names
}

// quarter is the i-th quarter of an IPv4 network.
func quarter(network netip.Prefix, i uint32) netip.Prefix {
	bits := network.Bits() + 2
	return netip.PrefixFrom(plus(network.Addr(), i<<(32-bits)), bits)
}

// quarterHosts is how many addresses a quarter gives away: all but its first
// and last, which look like network and broadcast addresses to people.
func quarterHosts(network netip.Prefix) int { return 1<<(32-network.Bits()-2) - 2 }

func plus(a netip.Addr, n uint32) netip.Addr {
	b := a.As4()
	binary.BigEndian.PutUint32(b[:], binary.BigEndian.Uint32(b[:])+n)
	return netip.AddrFrom4(b)
}

// spread gives each name a place of its own: where its hash falls, or the next
// free one. Names take their turn in sorted order, so that the order of
// declaration means nothing.
func spread(within netip.Prefix, names []string) (map[string]netip.Addr, bool) {
	size := uint32(1)<<(32-within.Bits()) - 2
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	if uint64(len(names)) > uint64(size) {
		return nil, false
	}
	taken, all := map[uint32]bool{}, make(map[string]netip.Addr, len(names))
	for _, name := range names {
		i := slot(name, size)
		for taken[i] {
			i = (i + 1) % size
		}
		taken[i] = true
		all[name] = plus(within.Addr(), i+1)
	}
	return all, true
}

// slot is where the hash of a name falls.
func slot(name string, size uint32) uint32 {
	h := fnv.New64a()
	h.Write([]byte(name)) // never fails
	return uint32(h.Sum64() % uint64(size))
}
