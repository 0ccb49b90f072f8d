package policy

import (
	"net/netip"
	"slices"
)

// Ways by which a route leads away.
type means int

const (
	byUnknown  means = iota // not known yet
	byInternet              // an internet gateway
	byNAT
	byOutward // an egress-only gateway of IPv6
	byVPN
	byPeer // another network
	byOther
)

// route of a route table; those within the network itself are not among them.
type route struct {
	from   Resource
	table  string
	to     netip.Prefix // not valid when it is for a prefix list
	by     means
	target string
}

// targets are the attributes that say by what a route leads, in order: the
// provider fills some of them in beside the one that was set.
var targets = []struct {
	attribute string
	by        means
}{
	{"gateway_id", byInternet}, {"nat_gateway_id", byNAT}, {"egress_only_gateway_id", byOutward},
	{"vpc_peering_connection_id", byPeer}, {"transit_gateway_id", byPeer}, {"core_network_arn", byPeer},
	{"vpc_endpoint_id", byOther}, {"carrier_gateway_id", byOther}, {"local_gateway_id", byOther}, {"network_interface_id", byOther},
}

// allRoutes are those of all route tables, each once.
func (w *world) allRoutes() []route {
	var all []route
	for _, r := range w.of("aws_route") {
		all = w.addRoute(all, r, r.Values, r.Values.Text("route_table_id"))
	}
	for _, r := range w.of("aws_route_table", "aws_default_route_table") {
		for _, block := range r.Values.Blocks("route") {
			all = w.addRoute(all, r, block, r.Values.Text("id"))
		}
		for _, gateway := range r.Values.Texts("propagating_vgws") {
			all = append(all, w.propagated(r, r.Values.Text("id"), gateway)...)
		}
	}
	for _, r := range w.of("aws_vpn_gateway_route_propagation") {
		all = append(all, w.propagated(r, r.Values.Text("route_table_id"), r.Values.Text("vpn_gateway_id"))...)
	}
	return all
}

func (w *world) addRoute(all []route, from Resource, v Values, table string) []route {
	r := route{from: from, table: table}
	for _, attribute := range []string{"destination_cidr_block", "destination_ipv6_cidr_block", "cidr_block", "ipv6_cidr_block"} {
		if p, err := netip.ParsePrefix(v.Text(attribute)); err == nil {
			r.to = p.Masked()
		}
	}
	for _, t := range targets {
		if v.Unknown(t.attribute) {
			break
		}
		if r.target = v.Text(t.attribute); r.target != "" {
			r.by = t.by
			break
		}
	}
	if _, vpn := w.with("aws_vpn_gateway", "id", r.target); vpn {
		r.by = byVPN
	}
	// AWS shows routes of their own in the table as well.
	same := func(o route) bool {
		return o.table == r.table && o.to == r.to && o.target == r.target && r.to.IsValid()
	}
	if r.target == "local" || slices.ContainsFunc(all, same) {
		return all
	}
	return append(all, r)
}

// propagated are the routes that a VPN gateway tells a route table.
func (w *world) propagated(from Resource, table, gateway string) []route {
	var all []route
	for _, c := range w.of("aws_vpn_connection") {
		if c.Values.Text("vpn_gateway_id") != gateway || gateway == "" {
			continue
		}
		for _, r := range w.of("aws_vpn_connection_route") {
			p, err := netip.ParsePrefix(r.Values.Text("destination_cidr_block"))
			if err == nil && r.Values.Text("vpn_connection_id") == c.Values.Text("id") {
				all = append(all, route{from, table, p.Masked(), byVPN, gateway})
			}
		}
	}
	return all
}

// tableOf is the route table of a subnet; "" while not known.
func (w *world) tableOf(subnet string) string {
	if a, ok := w.with("aws_route_table_association", "subnet_id", subnet); ok {
		return a.Values.Text("route_table_id")
	}
	s, _ := w.with("aws_subnet", "id", subnet)
	vpc := s.Values.Text("vpc_id")
	if a, ok := w.with("aws_main_route_table_association", "vpc_id", vpc); ok {
		return a.Values.Text("route_table_id")
	}
	v, _ := w.with("aws_vpc", "id", vpc)
	return v.Values.Text("main_route_table_id")
}

// leads is how packets from a subnet to a network outside leave: the narrowest
// route to all of it decides.
func (w *world) leads(table string, to netip.Prefix) (best route, ok bool) {
	for _, r := range w.routes {
		if r.table != table || table == "" || !within(to, r.to) || ok && r.to.Bits() <= best.to.Bits() {
			continue
		}
		best, ok = r, true
	}
	return best, ok
}

// within: all of a network is in another.
func within(n, all netip.Prefix) bool {
	return all.IsValid() && n.Addr().BitLen() == all.Addr().BitLen() && all.Bits() <= n.Bits() && all.Contains(n.Addr())
}
