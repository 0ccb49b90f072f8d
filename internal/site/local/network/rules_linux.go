package network

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Registers that hold a concatenation: 32 bits each, one after the other.
const (
	reg0 = unix.NFT_REG32_00
	reg1 = unix.NFT_REG32_01
	reg2 = unix.NFT_REG32_02
)

// ruleset collects one batch.
type ruleset struct {
	conn  *nftables.Conn
	table *nftables.Table
	err   error
}

// Apply replaces everything that is open by rules, atomically: each packet sees
// the old rules or the new ones. Established connections live on.
//
// Chains are made once and only their rules are replaced: a new chain would
// show its policy (drop) before its rules are there. A packet that is in a chain
// just when rules change sees that chain's old rules, but their sets are empty
// already. So what was found to be declared is marked (marks do not cross into
// a network namespace, nobody else can set one), and nothing is rejected before
// a second chain has looked for itself.
func Apply(r Rules) error {
	conn, err := nftables.New()
	if err != nil {
		return fmt.Errorf("nftables: %w", err)
	}
	s := &ruleset{conn: conn}
	s.table = conn.AddTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: "godwit"})
	nat := s.chain("virtual", nftables.ChainTypeNAT, nftables.ChainHookPrerouting, nftables.ChainPriorityNATDest)
	arrive := s.chain("arrive", nftables.ChainTypeFilter, nftables.ChainHookPrerouting, nftables.ChainPriorityRef(-50))
	judge := s.chain("judge", nftables.ChainTypeFilter, nftables.ChainHookPrerouting, nftables.ChainPriorityRef(-40))
	input := s.chain("input", nftables.ChainTypeFilter, nftables.ChainHookInput, nftables.ChainPriorityFilter)
	forward := s.chain("forward", nftables.ChainTypeFilter, nftables.ChainHookForward, nftables.ChainPriorityFilter)
	output := s.chain("output", nftables.ChainTypeFilter, nftables.ChainHookOutput, nftables.ChainPriorityFilter)
	declared := conn.AddChain(&nftables.Chain{Table: s.table, Name: "declared"})
	conn.FlushTable(s.table)

	s.translate(nat, r.Virtuals)
	s.rule(declared, established()...)
	s.edges(declared, r.Edges)
	// What arrives is judged before it is routed: where no route leads, the
	// answer would otherwise be the kernel's own, and rationed.
	for _, c := range []*nftables.Chain{arrive, judge, input} {
		s.rule(c, on(expr.MetaKeyIIFNAME, "lo")...)
	}
	for _, c := range []*nftables.Chain{arrive, judge, input, forward} {
		s.rule(c, marked()...)
		s.rule(c, &expr.Verdict{Kind: expr.VerdictJump, Chain: declared.Name})
	}
	s.untranslated(judge, r.Virtuals)
	s.rule(judge, reject())
	s.rule(output, on(expr.MetaKeyOIFNAME, "lo")...)
	s.rule(output, established()...)
	s.outgoing(output, slices.Concat(r.Router, r.Gateway))
	s.rule(output, reject())
	if s.err != nil {
		return fmt.Errorf("nftables: %w", s.err)
	}
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("nftables: apply %d edges, %d virtual addresses: %w", len(r.Edges), len(r.Virtuals), err)
	}
	return nil
}

func (s *ruleset) chain(name string, t nftables.ChainType, hook *nftables.ChainHook, p *nftables.ChainPriority) *nftables.Chain {
	policy := nftables.ChainPolicyDrop
	if t == nftables.ChainTypeNAT || name == "arrive" || name == "judge" {
		policy = nftables.ChainPolicyAccept // judge ends in a reject of its own; its policy would only hide it
	}
	return s.conn.AddChain(&nftables.Chain{Table: s.table, Name: name, Type: t, Hooknum: hook, Priority: p, Policy: &policy})
}

func (s *ruleset) rule(c *nftables.Chain, exprs ...expr.Any) {
	s.conn.AddRule(&nftables.Rule{Table: s.table, Chain: c, Exprs: exprs})
}

// set makes an anonymous set; it goes when its rule goes.
func (s *ruleset) set(set nftables.Set, elements []nftables.SetElement) *nftables.Set {
	set.Table, set.Anonymous, set.Constant = s.table, true, true
	if err := s.conn.AddSet(&set, elements); err != nil && s.err == nil {
		s.err = err
	}
	return &set
}

func (s *ruleset) edges(c *nftables.Chain, edges []Edge) {
	seen := map[Edge]bool{}
	var elements []nftables.SetElement
	for _, e := range edges {
		if !seen[e] {
			seen[e] = true
			elements = append(elements, nftables.SetElement{Key: key(e.From, e.To.Addr(), e.To.Port())})
		}
	}
	if len(elements) == 0 {
		return
	}
	set := s.set(nftables.Set{KeyType: nftables.MustConcatSetType(
		nftables.TypeIPAddr, nftables.TypeIPAddr, nftables.TypeInetService)}, elements)
	s.rule(c, append(tcp(), source(reg0), destination(reg1), port(reg2), lookup(set),
		&expr.Immediate{Register: reg0, Data: mark}, &expr.Meta{Key: expr.MetaKeyMARK, SourceRegister: true, Register: reg0}, accept())...)
}

// mark is on packets that were found to be declared.
var mark = binaryutil.NativeEndian.PutUint32(1)

func marked() []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyMARK, Register: reg0},
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg0, Data: mark},
		accept(),
	}
}

// untranslated drops what came for a virtual address with endpoints and was not
// translated, because the rules changed just then: its sender tries again.
func (s *ruleset) untranslated(c *nftables.Chain, virtuals []Virtual) {
	for _, v := range virtuals {
		if len(v.Endpoints) > 0 {
			s.rule(c, append(to(v.Address), &expr.Verdict{Kind: expr.VerdictDrop})...)
		}
	}
}

// to matches TCP to an address and port.
func to(a netip.AddrPort) []expr.Any {
	return append(tcp(), destination(reg0),
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg0, Data: a.Addr().AsSlice()},
		port(reg0), &expr.Cmp{Op: expr.CmpOpEq, Register: reg0, Data: binaryutil.BigEndian.PutUint16(a.Port())})
}

// outgoing needs no set: rules alone are all old or all new.
func (s *ruleset) outgoing(c *nftables.Chain, addresses []netip.AddrPort) {
	seen := map[netip.AddrPort]bool{}
	for _, a := range addresses {
		if !seen[a] {
			seen[a] = true
			s.rule(c, append(to(a), accept())...)
		}
	}
}

// translate sends connections to a virtual address to its endpoints in turn.
// One without endpoints is not translated, and so denied.
func (s *ruleset) translate(c *nftables.Chain, virtuals []Virtual) {
	for _, v := range virtuals {
		if len(v.Endpoints) == 0 {
			continue
		}
		addresses := make([]nftables.SetElement, len(v.Endpoints))
		for i, e := range v.Endpoints {
			addresses[i] = nftables.SetElement{Key: binaryutil.NativeEndian.PutUint32(uint32(i)), Val: key(e.Addr(), e.Port())}
		}
		where := s.set(nftables.Set{IsMap: true, KeyType: nftables.TypeInteger,
			DataType: nftables.MustConcatSetType(nftables.TypeIPAddr, nftables.TypeInetService)}, addresses)
		exprs := append(to(v.Address),
			&expr.Numgen{Register: reg0, Modulus: uint32(len(v.Endpoints)), Type: unix.NFT_NG_INCREMENTAL},
			&expr.Lookup{SourceRegister: reg0, DestRegister: reg1, IsDestRegSet: true, SetName: where.Name, SetID: where.ID},
			&expr.NAT{Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: reg1, RegProtoMin: reg2, Specified: true})
		s.rule(c, exprs...)
	}
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

// tcp matches TCP over IPv4.
func tcp() []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: reg0},
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg0, Data: []byte{unix.NFPROTO_IPV4}},
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg0},
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg0, Data: []byte{unix.IPPROTO_TCP}},
	}
}

func source(register uint32) expr.Any {
	return &expr.Payload{DestRegister: register, Base: expr.PayloadBaseNetworkHeader, Offset: 12, Len: 4}
}

func destination(register uint32) expr.Any {
	return &expr.Payload{DestRegister: register, Base: expr.PayloadBaseNetworkHeader, Offset: 16, Len: 4}
}

func port(register uint32) expr.Any {
	return &expr.Payload{DestRegister: register, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2}
}

func lookup(set *nftables.Set) expr.Any {
	return &expr.Lookup{SourceRegister: reg0, SetName: set.Name, SetID: set.ID}
}

func accept() expr.Any { return &expr.Verdict{Kind: expr.VerdictAccept} }

func reject() expr.Any {
	return &expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: unix.NFT_REJECT_ICMPX_ADMIN_PROHIBITED}
}

// established accepts what belongs to an accepted connection, ICMP errors included.
func established() []expr.Any {
	bits := expr.CtStateBitESTABLISHED | expr.CtStateBitRELATED
	return []expr.Any{
		&expr.Ct{Key: expr.CtKeySTATE, Register: reg0},
		&expr.Bitwise{SourceRegister: reg0, DestRegister: reg0, Len: 4,
			Mask: binaryutil.NativeEndian.PutUint32(bits), Xor: binaryutil.NativeEndian.PutUint32(0)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: reg0, Data: binaryutil.NativeEndian.PutUint32(0)},
		accept(),
	}
}

// on accepts what passes an interface.
func on(key expr.MetaKey, name string) []expr.Any {
	padded := make([]byte, unix.IFNAMSIZ)
	copy(padded, name)
	return []expr.Any{
		&expr.Meta{Key: key, Register: unix.NFT_REG_1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: unix.NFT_REG_1, Data: padded},
		accept(),
	}
}
