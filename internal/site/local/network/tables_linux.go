package network

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// tables are what the chains of a router look up. Rules are what they contain:
// a change of the rules adds and removes elements, and costs what it changes.
type tables struct {
	callers  map[netip.Addr]uint32     // the party that calls from an address
	targets  map[netip.AddrPort]uint32 // the party that is reached at one
	edges    map[pair]bool
	outgoing map[netip.AddrPort]bool // what the router itself may connect to
	virtuals map[netip.AddrPort][]netip.AddrPort
}

// pair of parties: the first may call the second.
type pair [2]uint32

// flatten rules into tables. number gives parties their numbers.
func flatten(r Rules, number func(party string) uint32) tables {
	t := tables{callers: map[netip.Addr]uint32{}, targets: map[netip.AddrPort]uint32{}, edges: map[pair]bool{},
		outgoing: map[netip.AddrPort]bool{}, virtuals: map[netip.AddrPort][]netip.AddrPort{}}
	for name, p := range r.Parties {
		n := number(name)
		for _, a := range p.From {
			t.callers[a] = n
		}
		for _, a := range p.At {
			t.targets[a] = n
		}
	}
	for _, e := range r.Edges {
		t.edges[pair{number(e.From), number(e.To)}] = true
	}
	for _, all := range [][]netip.AddrPort{r.Router, r.Gateway} {
		for _, a := range all {
			t.outgoing[a] = true
		}
	}
	for _, v := range r.Virtuals {
		if len(v.Endpoints) > 0 {
			t.virtuals[v.Address] = v.Endpoints[:min(len(v.Endpoints), maxTurns)]
		}
	}
	return t
}

// sets are the tables as the kernel has them.
type sets struct{ callers, targets, edges, outgoing, chains, served *nftables.Set }

var (
	addressPort = nftables.MustConcatSetType(nftables.TypeIPAddr, nftables.TypeInetService)
	numbers     = nftables.MustConcatSetType(nftables.TypeInteger, nftables.TypeInteger)
)

func makeSets(t *nftables.Table) sets {
	return sets{
		callers:  &nftables.Set{Table: t, Name: "callers", IsMap: true, KeyType: nftables.TypeIPAddr, DataType: nftables.TypeInteger},
		targets:  &nftables.Set{Table: t, Name: "targets", IsMap: true, KeyType: addressPort, DataType: nftables.TypeInteger},
		edges:    &nftables.Set{Table: t, Name: "edges", KeyType: numbers},
		outgoing: &nftables.Set{Table: t, Name: "outgoing", KeyType: addressPort},
		chains:   &nftables.Set{Table: t, Name: "virtuals", IsMap: true, KeyType: addressPort, DataType: nftables.TypeVerdict},
		served:   &nftables.Set{Table: t, Name: "served", KeyType: addressPort}, // the keys of chains; a map cannot be asked for them
	}
}

func (s sets) all() []*nftables.Set {
	return []*nftables.Set{s.callers, s.targets, s.edges, s.outgoing, s.chains, s.served}
}

func caller(a netip.Addr, party uint32) nftables.SetElement {
	return nftables.SetElement{Key: key(a), Val: binaryutil.NativeEndian.PutUint32(party)}
}

func target(a netip.AddrPort, party uint32) nftables.SetElement {
	return nftables.SetElement{Key: key(a.Addr(), a.Port()), Val: binaryutil.NativeEndian.PutUint32(party)}
}

func edge(p pair, _ bool) nftables.SetElement {
	return nftables.SetElement{Key: append(binaryutil.NativeEndian.PutUint32(p[0]), binaryutil.NativeEndian.PutUint32(p[1])...)}
}

func member(a netip.AddrPort, _ bool) nftables.SetElement {
	return nftables.SetElement{Key: key(a.Addr(), a.Port())}
}

func chainOf(virtual netip.AddrPort) nftables.SetElement {
	return nftables.SetElement{Key: key(virtual.Addr(), virtual.Port()),
		VerdictData: &expr.Verdict{Kind: expr.VerdictGoto, Chain: chainName(virtual)}}
}

func chainName(virtual netip.AddrPort) string {
	b := virtual.Addr().As4()
	return fmt.Sprintf("to-%02x%02x%02x%02x-%d", b[0], b[1], b[2], b[3], virtual.Port())
}

// added are the elements of want that have lacks; those that only have another
// value are to be removed before.
func added[K, V comparable](have, want map[K]V, element func(K, V) nftables.SetElement) (remove, add []nftables.SetElement) {
	for k, v := range want {
		old, there := have[k]
		if there && old == v {
			continue
		}
		if there {
			remove = append(remove, element(k, old))
		}
		add = append(add, element(k, v))
	}
	return remove, add
}

// gone are the elements of have that want lacks.
func gone[K, V comparable](have, want map[K]V, element func(K, V) nftables.SetElement) (remove []nftables.SetElement) {
	for k, v := range have {
		if _, there := want[k]; !there {
			remove = append(remove, element(k, v))
		}
	}
	return remove
}

// key is a concatenation, each part filled up to 32 bits.
func key(parts ...any) []byte {
	var b []byte
	for _, p := range parts {
		switch p := p.(type) {
		case netip.Addr:
			b = append(b, p.AsSlice()...)
		case uint16:
			b = append(binary.BigEndian.AppendUint16(b, p), 0, 0)
		}
	}
	return b
}

// maxTurns is how many endpoints, with repetitions, go into one message.
const maxTurns = 1800

// spread makes the map that a virtual address's chain looks its turns up in. It
// is anonymous: it goes when the rule goes that uses it.
func (w *writer) spread(t *nftables.Table, endpoints []netip.AddrPort) *nftables.Set {
	turns := make([]nftables.SetElement, len(endpoints))
	for i, e := range endpoints {
		turns[i] = nftables.SetElement{Key: binaryutil.NativeEndian.PutUint32(uint32(i)), Val: key(e.Addr(), e.Port())}
	}
	set := &nftables.Set{Table: t, Anonymous: true, Constant: true, IsMap: true,
		KeyType: nftables.TypeInteger, DataType: addressPort}
	w.note(w.conn.AddSet(set, turns))
	return set
}

// translation sends each connection to the next endpoint.
func translation(turns *nftables.Set, n int) []expr.Any {
	return []expr.Any{
		&expr.Numgen{Register: reg0, Modulus: uint32(n), Type: unix.NFT_NG_INCREMENTAL},
		&expr.Lookup{SourceRegister: reg0, DestRegister: reg1, IsDestRegSet: true, SetName: turns.Name, SetID: turns.ID},
		&expr.NAT{Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: reg1, RegProtoMin: reg2, Specified: true},
	}
}
