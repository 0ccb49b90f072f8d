package policy

import (
	"net/netip"
	"slices"
)

// between are the ports, by protocol, on which one place gets to another: groups
// at both ends say so, and the ACLs let packets there and back.
func (r *reach) between(from, to place) map[string]sets {
	wanted := map[string]sets{}
	for _, in := range gatesOf(r.in, to.groups) {
		admitted := in.admits(from)
		if admitted == never {
			continue
		}
		for _, out := range gatesOf(r.out, from.groups) {
			if sent := out.admits(to); sent != never {
				want(wanted, in, out, min(admitted, sent))
			}
		}
	}
	own := linuxEphemeral
	if from.node.Kind == "balancer" {
		own = ephemeral
	}
	for protocol, of := range wanted {
		wanted[protocol] = of.and(r.crosses(from, to, protocol, own))
	}
	return wanted
}

// certainty is whether something holds for no address, some, or all.
type certainty int

const (
	never certainty = iota
	sometimes
	always
)

// want adds what two gates have in common.
func want(wanted map[string]sets, in, out gate, how certainty) {
	for _, protocol := range common(in.protocol, out.protocol) {
		of := sets{could: in.ports.and(out.ports)}
		if how == always {
			of.surely = of.could
		}
		wanted[protocol] = wanted[protocol].or(of)
	}
}

// common are the protocols of two gates: of those that let all through, the ones
// that matter.
func common(a, b string) []string {
	switch {
	case a == "" && b == "":
		return []string{"tcp", "udp"}
	case a == "" || a == b:
		return []string{b}
	case b == "":
		return []string{a}
	}
	return nil
}

// admits: the gate names the place, by its groups or its networks.
func (g gate) admits(p place) certainty {
	if slices.ContainsFunc(p.groups, func(group string) bool { return slices.Contains(g.groups, group) }) {
		return always
	}
	how := never
	for _, n := range g.networks {
		overlaps := func(s spot) bool { return n.Overlaps(s.network) }
		outer := func(s spot) bool { return !within(s.network, n) }
		switch {
		case !slices.ContainsFunc(slices.Concat(p.spots, p.spots6), overlaps):
		case slices.ContainsFunc(p.spots, outer):
			how = max(how, sometimes)
		default:
			how = always
		}
	}
	return how
}

// crosses are the ports on which ACLs let packets between two places.
func (r *reach) crosses(from, to place, protocol string, own ports) sets {
	four := r.crossing(from.spots, to.spots, protocol, own)
	six := r.crossing(from.spots6, to.spots6, protocol, own)
	if len(from.spots) == 0 || len(to.spots) == 0 {
		return six
	}
	return sets{four.could.or(six.could), four.surely}
}

func (r *reach) crossing(from, to []spot, protocol string, own ports) sets {
	var all *sets
	for _, a := range from {
		for _, b := range to {
			var of sets
			if r.connected(a, b) {
				of.could, of.surely = r.passes(flow{a, b, protocol, own})
			}
			all = together(all, of)
		}
	}
	if all == nil {
		return sets{}
	}
	return *all
}

// together: what could be on one or the other, what is sure on both.
func together(all *sets, of sets) *sets {
	if all == nil {
		return &of
	}
	return &sets{all.could.or(of.could), all.surely.and(of.surely)}
}

// connected: two subnets are in the same network, or there are routes between
// theirs, both ways.
func (r *reach) connected(a, b spot) bool {
	one, _ := r.with("aws_subnet", "id", a.subnet)
	other, _ := r.with("aws_subnet", "id", b.subnet)
	if one.Values.Text("vpc_id") == other.Values.Text("vpc_id") {
		return true
	}
	leads := func(from, to spot) bool {
		way, ok := r.leads(r.tableOf(from.subnet), to.network)
		return ok && way.by == byPeer
	}
	return leads(a, b) && leads(b, a)
}

// into are the ports on which a network outside reaches a place: its groups and
// ACLs say so, and its subnets have a route back.
func (r *reach) into(o outside, to place) map[string]sets {
	wanted := map[string]sets{}
	for _, in := range gatesOf(r.in, to.groups) {
		if how := in.admitsOutside(o); how != never && o.tables == nil {
			want(wanted, in, gate{ports: everyPort}, how)
		}
	}
	for protocol, of := range wanted {
		var all *sets
		for _, s := range to.at(o) {
			var found sets
			if r.enters(o, s, to.public) {
				found.could, found.surely = r.passes(flow{o.at, s, protocol, ephemeral})
			}
			all = together(all, found)
		}
		if all == nil {
			all = &sets{}
		}
		wanted[protocol] = of.and(*all)
	}
	return wanted
}

// at are the spots of a place in the family of a network outside.
func (p place) at(o outside) []spot {
	if o.at.network.Addr().Is4() {
		return p.spots
	}
	return p.spots6
}

// admitsOutside: the gate names the network. Whoever names everybody names
// networks that only a VPN knows too; the others are part of everybody.
func (g gate) admitsOutside(o outside) certainty {
	if o.list != "" {
		if slices.Contains(g.lists, o.list) {
			return always
		}
		return never
	}
	how, n := never, o.at.network
	for _, named := range g.networks {
		switch {
		case named.Addr().BitLen() != n.Addr().BitLen():
		case n.Bits() == 0 && named.Bits() > 0, n.Bits() > 0 && named.Bits() == 0 && !private(n):
		case within(n, named):
			how = always
		case named.Overlaps(n):
			how = max(how, sometimes)
		}
	}
	return how
}

// enters: packets from a network outside get to a subnet, and back.
func (r *reach) enters(o outside, s spot, public bool) bool {
	return slices.ContainsFunc(r.toward(s, o.at.network), func(way route) bool {
		switch way.by {
		case byInternet:
			return public && !private(o.at.network)
		case byVPN, byPeer, byOther:
			return true
		}
		return false
	})
}

// toward are the routes that packets from a subnet to a network could take: the
// narrowest one to all of it, and those to some of it.
func (r *reach) toward(s spot, n netip.Prefix) []route {
	table := r.tableOf(s.subnet)
	var all []route
	if best, ok := r.leads(table, n); ok {
		all = append(all, best)
	}
	for _, way := range r.routes {
		inner := way.to.IsValid() && way.to != n && within(way.to, n) && !(n.Bits() == 0 && private(way.to))
		if way.table == table && table != "" && inner {
			all = append(all, way)
		}
	}
	return all
}

// outOf are the ports on which a place reaches a network outside.
func (r *reach) outOf(from place, o outside) map[string]sets {
	wanted := map[string]sets{}
	for _, out := range gatesOf(r.out, from.groups) {
		if how := out.admitsOutside(o); how != never {
			want(wanted, gate{ports: everyPort}, out, how)
		}
	}
	for protocol, of := range wanted {
		var all *sets
		for _, s := range from.at(o) {
			all = together(all, r.leaves(s, o, protocol, from.public))
		}
		if all == nil {
			all = &sets{}
		}
		wanted[protocol] = of.and(*all)
	}
	return wanted
}

// leaves are the ports on which packets from a subnet get to a network outside,
// and back.
func (r *reach) leaves(s spot, o outside, protocol string, public bool) sets {
	pass := func(f flow) (of sets) {
		of.could, of.surely = r.passes(f)
		return of
	}
	own := pass(flow{s, o.at, protocol, linuxEphemeral})
	if o.tables != nil {
		if slices.Contains(o.tables, r.tableOf(s.subnet)) {
			return own
		}
		return sets{}
	}
	var found sets
	for _, way := range r.toward(s, o.at.network) {
		switch way.by {
		case byInternet:
			if public && !private(o.at.network) {
				found = found.or(own)
			}
		case byNAT:
			if nat, ok := r.natSpot(way.target); ok && !private(o.at.network) {
				there := pass(flow{spot{network: s.network}, nat, protocol, linuxEphemeral})
				if nat.subnet == s.subnet {
					there = sets{everyPort, everyPort}
				}
				found = found.or(own.and(there).and(pass(flow{nat, o.at, protocol, ephemeral})))
			}
		case byOutward, byVPN, byPeer, byOther:
			found = found.or(own)
		}
	}
	return found
}

// natSpot is where a NAT gateway stands, if the internet is reached from there.
func (r *reach) natSpot(id string) (spot, bool) {
	nat, _ := r.with("aws_nat_gateway", "id", id)
	subnet, ok := r.with("aws_subnet", "id", nat.Values.Text("subnet_id"))
	n, err := netip.ParsePrefix(subnet.Values.Text("cidr_block"))
	if !ok || err != nil {
		return spot{}, false
	}
	at := spot{subnet.Values.Text("id"), n.Masked()}
	way, ok := r.leads(r.tableOf(at.subnet), allIPv4)
	return at, ok && way.by == byInternet
}
