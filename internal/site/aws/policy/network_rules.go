package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// openIngress: everybody reaches a public load balancer on 80 and 443, and
// nothing else; a network outside reaches databases, through a VPN.
func openIngress(w *world) {
	for _, g := range w.gates {
		if !g.ingress {
			continue
		}
		for _, n := range g.networks {
			everybody := n.Bits() == 0
			switch {
			case everybody && w.publicGroup(g.group) && g.only(80, 443):
			case !everybody && w.overVPN(n) && w.databaseGroup(g.group) && w.toDatabases(g):
			default:
				w.breaks(g.by, fmt.Sprintf("it is open to %s on %s", n, g.opening()),
					"name a security group instead of a network; only a public load balancer's 80 and 443 are for everybody")
			}
		}
		for _, list := range g.lists {
			w.breaks(g.by, "it is open to the networks of "+list, "name a security group")
		}
	}
	for _, r := range w.of("aws_default_security_group") {
		if len(r.Values.Blocks("ingress"))+len(r.Values.Blocks("egress")) > 0 {
			w.breaks(r, "the default group lets something through", "give it no rules")
		}
	}
}

// opening is what a gate opens, for people.
func (g gate) opening() string {
	protocol := g.protocol
	if protocol == "" {
		protocol = "every protocol"
	}
	if len(g.ports) != 1 {
		return protocol
	}
	return fmt.Sprintf("%s %s", protocol, g.ports[0])
}

func (s span) String() string {
	if s.first == s.last {
		return fmt.Sprint(s.first)
	}
	return fmt.Sprintf("%d-%d", s.first, s.last)
}

// publicGroup: the group belongs to public load balancers, and to nothing else,
// as far as is known.
func (w *world) publicGroup(group string) bool {
	return w.onlyOf(group, "aws_lb", "security_groups", func(v Values) bool { return v.May("internal", "false", "") })
}

// databaseGroup: the group belongs to databases, and to nothing else.
func (w *world) databaseGroup(group string) bool {
	return w.onlyOf(group, "aws_db_instance", "vpc_security_group_ids", func(Values) bool { return true })
}

// onlyOf: whatever is in the group is of one type, and is good; and there is some.
func (w *world) onlyOf(group, kind, attribute string, good func(Values) bool) bool {
	if group == "" {
		return true // not known yet
	}
	for _, r := range w.all {
		if slices.Contains(groupsOf(r), group) && (r.Type != kind || !good(r.Values)) {
			return false
		}
	}
	return slices.ContainsFunc(w.of(kind), func(r Resource) bool { return r.Values.MayHold(attribute, group) })
}

// toDatabases: the gate opens only the ports of the databases in its group.
func (w *world) toDatabases(g gate) bool {
	var all []int
	for _, r := range w.of("aws_db_instance") {
		if g.group != "" && !r.Values.MayHold("vpc_security_group_ids", g.group) {
			continue
		}
		if r.Values.Unknown("port") {
			return true
		}
		all = append(all, r.Values.Int("port"))
	}
	return g.only(all...)
}

// overVPN: the network is at the other end of a VPN.
func (w *world) overVPN(n netip.Prefix) bool {
	return !w.lacks("aws_vpn_connection_route", "destination_cidr_block", n.String())
}

// openEgress: out go named groups, gateways of AWS, and networks that are
// somebody's, on 443; databases reach those of a VPN on their own port.
func openEgress(w *world) {
	for _, g := range w.gates {
		if g.ingress {
			continue
		}
		if g.protocol == "" && g.ports != nil {
			w.breaks(g.by, "it may speak any protocol", "name tcp and a port")
		}
		for _, n := range g.networks {
			switch {
			case w.overVPN(n) && w.databaseGroup(g.group) && w.toDatabases(g):
			case broad(n):
				w.breaks(g.by, fmt.Sprintf("it may reach %s", n), "name a security group, or the networks that it needs")
			case !g.only(443):
				w.breaks(g.by, fmt.Sprintf("it may reach %s on %s", n, g.opening()), "open 443 only")
			}
		}
		for _, list := range g.lists {
			w.egressTo(g, list)
		}
	}
}

// egressTo: a prefix list is a gateway's of this network.
func (w *world) egressTo(g gate, list string) {
	_, ours := w.with("aws_ec2_managed_prefix_list", "id", list) // its networks are judged
	_, gateway := w.with("aws_vpc_endpoint", "prefix_list_id", list)
	switch {
	case !ours && !gateway:
		w.breaks(g.by, "it may reach the networks of "+list+", which is no gateway's here", "name the prefix list of an aws_vpc_endpoint")
	case !g.only(443):
		w.breaks(g.by, "it may reach "+list+" on "+g.opening(), "open 443 only")
	}
}

// broad: a network that is nobody's in particular.
func broad(n netip.Prefix) bool {
	if n.Addr().Is4() {
		return n.Bits() < 8
	}
	return n.Bits() < 20
}

// connecting are types that connect networks with one another, or lend them out.
var connecting = []string{"aws_vpc_peering_connection", "aws_ec2_transit_gateway", "aws_vpclattice_service_network",
	"aws_vpc_endpoint_service", "aws_networkmanager", "aws_ram_resource"}

// peering: environments have no path to one another.
func peering(w *world) {
	for _, r := range w.all {
		for _, prefix := range connecting {
			if strings.HasPrefix(r.Type, prefix) {
				w.breaks(r, "it connects networks with one another", "remove it: environments are apart")
			}
		}
	}
	for _, r := range w.routes {
		if r.by == byPeer {
			w.breaks(r.from, "it leads into another network", "remove it: environments are apart")
		}
	}
}

// dataRoute: from where databases are nothing leads out but a VPN, and nothing
// gets a public address by being put into a subnet.
func dataRoute(w *world) {
	tables := map[string]bool{}
	for _, group := range w.of("aws_db_subnet_group") {
		for _, subnet := range group.Values.Texts("subnet_ids") {
			tables[w.tableOf(subnet)] = true
		}
	}
	delete(tables, "") // not known yet
	for _, r := range w.routes {
		if tables[r.table] && r.by != byVPN && r.by != byUnknown {
			w.breaks(r.from, "it leads out of the subnets of databases", "remove it")
		}
	}
	for _, r := range w.of("aws_subnet") {
		if r.Values.True("map_public_ip_on_launch") || r.Values.True("assign_ipv6_address_on_creation") {
			w.breaks(r, "whatever is started in it gets a public address", "leave map_public_ip_on_launch and assign_ipv6_address_on_creation false")
		}
	}
}

// flowLogs: every network writes down who spoke to whom.
func flowLogs(w *world) {
	for _, vpc := range w.of("aws_vpc", "aws_default_vpc") {
		id := vpc.Values.Text("id")
		if id == "" {
			continue
		}
		if w.lacks("aws_flow_log", "vpc_id", id) {
			w.breaks(vpc, "it has no flow log", "add aws_flow_log")
		} else if log, ok := w.with("aws_flow_log", "vpc_id", id); ok && !log.Values.May("traffic_type", "ALL") {
			w.breaks(log, "it does not log all traffic", `set traffic_type = "ALL"`)
		}
	}
}
