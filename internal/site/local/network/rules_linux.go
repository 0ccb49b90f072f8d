package network

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Router is the network namespace that it was made in. Its methods may be called
// from every thread of a process that lives there.
type Router struct {
	mu      sync.Mutex
	table   *nftables.Table
	sets    sets
	numbers map[string]uint32 // of parties; 0 is nobody's
	rules   Rules             // that hold
	have    *tables           // what the kernel has; nil when that is not known
	made    uint32            // the kernel's generation of rules that is ours
}

// NewRouter makes the calling thread's network namespace the router at address,
// with everything denied.
func NewRouter(address netip.Addr) (*Router, error) {
	if err := prepareRouter(address); err != nil {
		return nil, err
	}
	r := &Router{table: &nftables.Table{Family: nftables.TableFamilyINet, Name: "godwit"}, numbers: map[string]uint32{}}
	_, err := r.Apply(Rules{})
	return r, err
}

// Applied is what a change of rules came to.
type Applied struct {
	Written int    // elements and rules that had to be written
	Cut     []Flow // connections over edges that are not there any more
}

// Apply makes rules the ones that hold. Established connections live on, but
// those over an edge that was removed: the router forgets them, and what they
// still send is answered with a reset.
//
// A change is atomic as long as it fits into one batch, which a usual one does;
// of a larger one, what opens comes before what closes.
//
// The chains are made once and never touched again; they ask the tables. Only a
// virtual address has a chain of its own, whose rule is replaced with its
// endpoints. A packet that is in it just then may see the old rule, whose map is
// empty already, and so stays untranslated: it is dropped, its sender tries again.
func (r *Router) Apply(rules Rules) (Applied, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w, err := newWriter()
	if err != nil {
		return Applied{}, err
	}
	if now, err := generation(); err != nil || now != r.made {
		r.have = nil // somebody else was at them
	}
	if r.have == nil {
		r.build(w)
	}
	want := flatten(rules, r.number)
	r.write(w, want)
	w.flush()
	if w.err != nil {
		r.have = nil // and so everything is built again the next time
		return Applied{}, fmt.Errorf("nftables: apply %d parties, %d edges, %d virtual addresses: %w",
			len(rules.Parties), len(rules.Edges), len(rules.Virtuals), w.err)
	}
	removed := r.removed(rules)
	r.have, r.rules = &want, rules
	if r.made, err = generation(); err != nil {
		return Applied{Written: w.sent}, err
	}
	flows, err := cut(removed)
	return Applied{Written: w.sent, Cut: flows}, err
}

func (r *Router) number(party string) uint32 {
	if r.numbers[party] == 0 {
		r.numbers[party] = uint32(len(r.numbers) + 1)
	}
	return r.numbers[party]
}

// write brings the kernel's tables to want.
func (r *Router) write(w *writer, want tables) {
	have := r.have
	for _, u := range []update{
		news(r.sets.callers, have.callers, want.callers, caller),
		news(r.sets.targets, have.targets, want.targets, target),
		news(r.sets.edges, have.edges, want.edges, edge),
		news(r.sets.outgoing, have.outgoing, want.outgoing, member),
	} {
		w.remove(u.set, u.remove)
		w.add(u.set, u.add)
	}
	r.writeVirtuals(w, have.virtuals, want.virtuals)
	w.remove(r.sets.edges, gone(have.edges, want.edges, edge))
	w.remove(r.sets.callers, gone(have.callers, want.callers, caller))
	w.remove(r.sets.targets, gone(have.targets, want.targets, target))
	w.remove(r.sets.outgoing, gone(have.outgoing, want.outgoing, member))
}

// writeVirtuals replaces the chains of virtual addresses whose endpoints changed.
func (r *Router) writeVirtuals(w *writer, have, want map[netip.AddrPort][]netip.AddrPort) {
	for address, endpoints := range want {
		old, there := have[address]
		if there && slices.Equal(old, endpoints) {
			continue
		}
		w.room(6, len(endpoints))
		chain := &nftables.Chain{Table: r.table, Name: chainName(address)}
		if there {
			w.conn.FlushChain(chain)
		} else {
			w.conn.AddChain(chain)
		}
		turns := w.spread(r.table, endpoints)
		w.conn.AddRule(&nftables.Rule{Table: r.table, Chain: chain, Exprs: translation(turns, len(endpoints))})
		if !there {
			w.note(w.conn.SetAddElements(r.sets.chains, []nftables.SetElement{chainOf(address)}))
			w.note(w.conn.SetAddElements(r.sets.served, []nftables.SetElement{member(address, true)}))
		}
	}
	for address := range have {
		if _, there := want[address]; there {
			continue
		}
		w.room(4, 1)
		w.note(w.conn.SetDeleteElements(r.sets.served, []nftables.SetElement{member(address, true)}))
		w.note(w.conn.SetDeleteElements(r.sets.chains, []nftables.SetElement{chainOf(address)}))
		chain := &nftables.Chain{Table: r.table, Name: chainName(address)}
		w.conn.FlushChain(chain)
		w.conn.DelChain(chain)
	}
}

// build makes the table with its chains and nothing in its sets, so that
// everything is denied. Whatever was there goes.
func (r *Router) build(w *writer) {
	w.conn.AddTable(r.table)
	w.conn.DelTable(r.table)
	w.conn.AddTable(r.table)
	r.sets = makeSets(r.table)
	for _, s := range r.sets.all() {
		w.note(w.conn.AddSet(s, nil))
	}
	c := chains{w.conn, r.table}
	accepted, denied := nftables.ChainPolicyAccept, nftables.ChainPolicyDrop
	nat := c.chain("virtual", nftables.ChainTypeNAT, nftables.ChainHookPrerouting, nftables.ChainPriorityNATDest, accepted)
	// judge ends in a reject of its own; its policy would only hide it.
	judge := c.chain("judge", nftables.ChainTypeFilter, nftables.ChainHookPrerouting, nftables.ChainPriorityRef(-40), accepted)
	input := c.chain("input", nftables.ChainTypeFilter, nftables.ChainHookInput, nftables.ChainPriorityFilter, denied)
	forward := c.chain("forward", nftables.ChainTypeFilter, nftables.ChainHookForward, nftables.ChainPriorityFilter, denied)
	output := c.chain("output", nftables.ChainTypeFilter, nftables.ChainHookOutput, nftables.ChainPriorityFilter, denied)
	declared := w.conn.AddChain(&nftables.Chain{Table: r.table, Name: "declared"})

	c.rule(nat, append(tcp(), destination(reg0), port(reg1), &expr.Lookup{SourceRegister: reg0,
		DestRegister: unix.NFT_REG_VERDICT, IsDestRegSet: true, SetName: r.sets.chains.Name, SetID: r.sets.chains.ID})...)
	c.rule(declared, established()...)
	c.rule(declared, r.declaredEdge()...)
	// What arrives is judged before it is routed: where no route leads, the
	// answer would otherwise be the kernel's own, and rationed.
	c.rule(judge, on(expr.MetaKeyIIFNAME, "lo")...)
	c.rule(input, on(expr.MetaKeyIIFNAME, "lo")...)
	for _, chain := range []*nftables.Chain{judge, input, forward} {
		c.rule(chain, &expr.Verdict{Kind: expr.VerdictJump, Chain: declared.Name})
	}
	// For a virtual address with endpoints, and not translated: see Apply.
	c.rule(judge, append(tcp(), destination(reg0), port(reg1), lookup(r.sets.served), &expr.Verdict{Kind: expr.VerdictDrop})...)
	c.rule(judge, append(midstream(), reset())...)
	c.rule(judge, reject())
	c.rule(output, on(expr.MetaKeyOIFNAME, "lo")...)
	c.rule(output, established()...)
	c.rule(output, append(tcp(), destination(reg0), port(reg1), lookup(r.sets.outgoing), accept())...)
	c.rule(output, reject())
	w.flush()
	empty := flatten(Rules{}, r.number)
	r.have = &empty
}

// declaredEdge accepts what the party that an address belongs to may call.
func (r *Router) declaredEdge() []expr.Any {
	return append(tcp(),
		source(reg0), find(r.sets.callers, reg0, reg0),
		destination(reg2), port(reg3), find(r.sets.targets, reg2, reg1),
		lookup(r.sets.edges), accept())
}

type update struct {
	set         *nftables.Set
	remove, add []nftables.SetElement
}

func news[K, V comparable](s *nftables.Set, have, want map[K]V, element func(K, V) nftables.SetElement) update {
	remove, add := added(have, want, element)
	return update{s, remove, add}
}

// chains makes chains and rules of a table.
type chains struct {
	conn  *nftables.Conn
	table *nftables.Table
}

func (c chains) chain(name string, t nftables.ChainType, hook *nftables.ChainHook, p *nftables.ChainPriority, policy nftables.ChainPolicy) *nftables.Chain {
	return c.conn.AddChain(&nftables.Chain{Table: c.table, Name: name, Type: t, Hooknum: hook, Priority: p, Policy: &policy})
}

func (c chains) rule(chain *nftables.Chain, exprs ...expr.Any) {
	c.conn.AddRule(&nftables.Rule{Table: c.table, Chain: chain, Exprs: exprs})
}
