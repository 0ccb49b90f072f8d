package policy

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
)

// Way is that packets of a connection get from one node to another and back.
type Way struct {
	From, To    Node
	Protocol    string // "tcp"
	First, Last int    // port, or the ends of a range
	Through     string // address of the load balancer between them; "" when direct
	// Partly: not from everywhere to everywhere. One zone, colour or address has
	// no way, and AWS does not say which of them is used.
	Partly bool
}

func (w Way) String() string {
	port := span{w.First, w.Last}.String()
	if w.Protocol != "tcp" {
		port = w.Protocol + "/" + port
	}
	if w.Partly {
		port += " in part"
	}
	return fmt.Sprintf("%s -> %s:%s", w.From, w.To, port)
}

// Reach computes who reaches whom, from the resources alone: rules of security
// groups at both ends, network ACLs there and back, routes, and load balancers
// that forward. A load balancer is passed through: who reaches one that forwards
// nowhere reaches nothing. It is for what was applied; of a plan it works where
// nothing that it looks at is made anew.
func Reach(resources []Resource) ([]Way, error) {
	w := newWorld(resources)
	places, err := w.places()
	if err != nil {
		return nil, err
	}
	r := &reach{world: w, places: places, outsides: w.outsides(), pairs: map[edge]map[pair]sets{}}
	r.index()
	for i := range places {
		for j := range places {
			for protocol, of := range r.between(places[i], places[j]) {
				r.arrives(i, j, protocol, of)
			}
		}
		for o := range r.outsides {
			for protocol, of := range r.into(r.outsides[o], places[i]) {
				r.arrives(-1-o, i, protocol, of)
			}
			for protocol, of := range r.outOf(places[i], r.outsides[o]) {
				r.found(edge{places[i].node, r.outsides[o].node, protocol, ""}, pair{i, -1 - o}, of)
			}
		}
	}
	return r.ways(), nil
}

// within: another way says the same of a network outside, and says it better: of
// all that the network is part of, or of just the part that it is true for.
func (w Way) within(o Way) bool {
	same := w.Protocol == o.Protocol && w.First == o.First && w.Last == o.Last && w.Through == o.Through
	if !same || o.Partly {
		return false
	}
	mine, other := w.From.network(), o.From.network()
	if w.From == o.From {
		mine, other = w.To.network(), o.To.network()
	} else if w.To != o.To {
		return false
	}
	return mine.IsValid() && other.IsValid() && mine != other && (within(mine, other) || w.Partly && within(other, mine))
}

// network is what a node outside stands for; not valid of others.
func (n Node) network() netip.Prefix {
	if n.Kind != kindNetwork {
		return netip.Prefix{}
	}
	p, _ := netip.ParsePrefix(n.Name)
	return p
}

// sets are ports on which some packets get there and back, and all of them do.
type sets struct{ could, surely ports }

func (s sets) and(o sets) sets { return sets{s.could.and(o.could), s.surely.and(o.surely)} }

func (s sets) or(o sets) sets { return sets{s.could.or(o.could), s.surely.or(o.surely)} }

// edge is a way without its ports; pair is the places at its ends: those outside
// are below zero.
type edge struct {
	from, to          Node
	protocol, through string
}

type pair struct{ from, to int }

// reach is the world while ways are looked for.
type reach struct {
	*world
	places   []place
	outsides []outside
	count    map[Node]int
	in, out  map[string][]gate // by security group
	sends    map[string][]forward
	pairs    map[edge]map[pair]sets
}

func (r *reach) index() {
	r.count, r.in, r.out, r.sends = map[Node]int{}, map[string][]gate{}, map[string][]gate{}, map[string][]forward{}
	for _, p := range r.places {
		r.count[p.node]++
	}
	for _, o := range r.outsides {
		r.count[o.node]++
	}
	for _, g := range r.gates {
		if g.ingress {
			r.in[g.group] = append(r.in[g.group], g)
		} else {
			r.out[g.group] = append(r.out[g.group], g)
		}
	}
	for _, f := range r.forwards() {
		balancer := f.listener.Values.Text("load_balancer_arn")
		r.sends[balancer] = append(r.sends[balancer], f)
	}
}

// gatesOf are the gates of some groups.
func gatesOf(by map[string][]gate, groups []string) []gate {
	var all []gate
	for _, g := range groups {
		all = append(all, by[g]...)
	}
	return all
}

func (r *reach) found(e edge, p pair, of sets) {
	if len(of.could) == 0 {
		return
	}
	if r.pairs[e] == nil {
		r.pairs[e] = map[pair]sets{}
	}
	r.pairs[e][p] = r.pairs[e][p].or(of)
}

// arrives: connections from one place get to another; if that is a load
// balancer, from there to wherever it forwards.
func (r *reach) arrives(from, to int, protocol string, of sets) {
	start, at := r.node(from), r.places[to]
	if at.node.Kind != "balancer" {
		r.found(edge{start, at.node, protocol, ""}, pair{from, to}, of)
		return
	}
	for _, f := range r.sends[at.resource.Values.Text("arn")] {
		listens := ports{{f.listener.Values.Int("port"), f.listener.Values.Int("port")}}
		if protocol != "tcp" || len(of.could.and(listens)) == 0 {
			continue
		}
		group, _ := r.with("aws_lb_target_group", "arn", f.group)
		port := ports{{group.Values.Int("port"), group.Values.Int("port")}}
		for j, target := range r.places {
			if !slices.Contains(target.targets, f.group) {
				continue
			}
			on := r.between(at, target)["tcp"].and(sets{port, port})
			if !of.surely.holds(listens) {
				on.surely = nil
			}
			r.found(edge{start, target.node, "tcp", at.resource.Address}, pair{from, j}, on)
		}
	}
}

func (r *reach) node(i int) Node {
	if i < 0 {
		return r.outsides[-1-i].node
	}
	return r.places[i].node
}

// ways puts together what was found: what not every pair of places has is in part.
func (r *reach) ways() []Way {
	var all []Way
	for e, pairs := range r.pairs {
		total, first := sets{}, true
		for _, of := range pairs {
			if first {
				total, first = of, false
				continue
			}
			total = sets{total.could.or(of.could), total.surely.and(of.surely)}
		}
		if len(pairs) < r.count[e.from]*r.count[e.to] {
			total.surely = nil
		}
		add := func(of ports, partly bool) {
			for _, s := range of {
				all = append(all, Way{e.from, e.to, e.protocol, s.first, s.last, e.through, partly})
			}
		}
		add(total.surely, false)
		add(total.could.without(total.surely), true)
	}
	all = slices.DeleteFunc(slices.Clone(all), func(a Way) bool {
		outside := a.From.Kind == kindNetwork || a.To.Kind == kindNetwork
		return outside && slices.ContainsFunc(all, func(b Way) bool { return a.within(b) })
	})
	slices.SortFunc(all, func(a, b Way) int {
		return cmp.Or(cmp.Compare(a.String(), b.String()), cmp.Compare(a.Through, b.Through))
	})
	return all
}
