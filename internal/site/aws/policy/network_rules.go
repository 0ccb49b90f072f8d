package policy

import (
	"net/netip"
	"slices"
	"strings"
)

// everybody are the networks that hold all addresses.
var everybody = []string{"0.0.0.0/0", "::/0"}

// sources are the networks that a rule of a security group names.
func sources(r Resource) []string {
	all := append(r.Values.Texts("cidr_blocks"), r.Values.Texts("ipv6_cidr_blocks")...)
	for _, attribute := range []string{"cidr_ipv4", "cidr_ipv6"} {
		if s := r.Values.Text(attribute); s != "" {
			all = append(all, s)
		}
	}
	return all
}

// openIngress: everybody reaches a public load balancer on 80 and 443, and
// nothing else; networks outside reach databases from the other end of a VPN.
func openIngress(w *world) {
	for _, r := range w.of("aws_vpc_security_group_ingress_rule") {
		w.ingress(r, r.Values.Text("security_group_id"))
	}
	for _, r := range w.of("aws_security_group_rule") {
		if r.Values.Text("type") == "ingress" {
			w.ingress(r, r.Values.Text("security_group_id"))
		}
	}
	for _, kind := range []string{"aws_security_group", "aws_default_security_group"} {
		for _, r := range w.of(kind) {
			// Computed from the rules once they are there: only what is open counts.
			for _, block := range r.Values.Blocks("ingress") {
				w.ingress(Resource{Address: r.Address, Values: block}, r.Values.Text("id"))
			}
			if kind == "aws_default_security_group" && len(r.Values.Blocks("ingress"))+len(r.Values.Blocks("egress")) > 0 {
				w.breaks(r, "the default group lets something through", "give it no rules")
			}
		}
	}
}

func (w *world) ingress(r Resource, group string) {
	for _, cidr := range sources(r) {
		ports := r.Values.Text("from_port") + "-" + r.Values.Text("to_port")
		switch {
		case slices.Contains(everybody, cidr) && w.publicGroup(group) && (ports == "443-443" || ports == "80-80"):
		case !slices.Contains(everybody, cidr) && w.overVPN(cidr) && w.databaseGroup(group):
		default:
			w.breaks(r, "it is open to "+cidr+" on ports "+ports, "name a security group instead of a network; only a public load balancer's 80 and 443 are for everybody")
		}
	}
	if len(sources(r)) == 0 && r.Values.Known("prefix_list_id") && r.Values.Text("prefix_list_id") != "" {
		w.breaks(r, "it is open to a list of networks", "name a security group")
	}
}

// publicGroup: the group belongs to public load balancers, and to nothing else.
func (w *world) publicGroup(group string) bool {
	public := false
	for _, lb := range w.of("aws_lb") {
		if slices.Contains(lb.Values.Texts("security_groups"), group) {
			if lb.Values.True("internal") {
				return false
			}
			public = true
		}
	}
	for _, r := range append(w.of("aws_launch_template"), append(w.of("aws_db_instance"), w.of("aws_vpc_endpoint")...)...) {
		if slices.Contains(groupsOf(r), group) {
			return false
		}
	}
	return public
}

// groupsOf are the security groups of whatever has some.
func groupsOf(r Resource) []string {
	all := slices.Concat(r.Values.Texts("vpc_security_group_ids"), r.Values.Texts("security_group_ids"), r.Values.Texts("security_groups"))
	for _, i := range r.Values.Blocks("network_interfaces") {
		all = append(all, i.Texts("security_groups")...)
	}
	return all
}

func (w *world) databaseGroup(group string) bool {
	return slices.ContainsFunc(w.of("aws_db_instance"), func(r Resource) bool { return slices.Contains(groupsOf(r), group) })
}

// overVPN: the network is the other end of a VPN.
func (w *world) overVPN(cidr string) bool {
	_, ok := w.with("aws_vpn_connection_route", "destination_cidr_block", cidr)
	return ok
}

// openEgress: out go named groups, lists of AWS, and networks that are
// somebody's, on 443 or through the VPN.
func openEgress(w *world) {
	rules := slices.Clone(w.of("aws_vpc_security_group_egress_rule"))
	for _, r := range w.of("aws_security_group_rule") {
		if r.Values.Text("type") == "egress" {
			rules = append(rules, r)
		}
	}
	for _, r := range w.of("aws_security_group") {
		for _, block := range r.Values.Blocks("egress") {
			rules = append(rules, Resource{Address: r.Address, Values: block})
		}
	}
	for _, r := range rules {
		for _, cidr := range sources(r) {
			p, err := netip.ParsePrefix(cidr)
			if err != nil || p.Bits() < 8 {
				w.breaks(r, "it may reach "+cidr, "name a security group, or the networks that it needs")
			} else if !w.overVPN(cidr) && r.Values.Text("from_port")+r.Values.Text("to_port") != "443443" {
				w.breaks(r, "it may reach "+cidr+" on other ports than 443", "open 443 only")
			}
		}
		if protocol := r.Values.Text("ip_protocol"); protocol == "-1" {
			w.breaks(r, "it may speak any protocol", "name tcp and a port")
		}
	}
}

// peering: environments have no path to one another.
func peering(w *world) {
	for _, r := range w.all {
		if strings.HasPrefix(r.Type, "aws_vpc_peering_connection") || strings.HasPrefix(r.Type, "aws_ec2_transit_gateway") {
			w.breaks(r, "it connects networks with one another", "remove it: environments are apart")
		}
	}
}

// dataRoute: from where databases are nothing leads out but a VPN.
func dataRoute(w *world) {
	tables := map[string]string{} // route table, subnet
	for _, group := range w.of("aws_db_subnet_group") {
		for _, subnet := range group.Values.Texts("subnet_ids") {
			if a, ok := w.with("aws_route_table_association", "subnet_id", subnet); ok {
				tables[a.Values.Text("route_table_id")] = subnet
			}
		}
	}
	for _, r := range w.of("aws_route") {
		_, data := tables[r.Values.Text("route_table_id")]
		if data && (r.Values.Text("gateway_id") != "" || r.Values.Text("nat_gateway_id") != "" || r.Values.Text("egress_only_gateway_id") != "") {
			w.breaks(r, "it leads out of the subnets of databases", "remove it")
		}
	}
	for _, r := range w.of("aws_subnet") {
		if r.Values.True("map_public_ip_on_launch") {
			w.breaks(r, "whatever is started in it gets a public address", "leave map_public_ip_on_launch false")
		}
	}
}

// flowLogs: every network writes down who spoke to whom.
func flowLogs(w *world) {
	for _, vpc := range w.of("aws_vpc") {
		if id := vpc.Values.Text("id"); id != "" {
			if log, ok := w.with("aws_flow_log", "vpc_id", id); !ok {
				w.breaks(vpc, "it has no flow log", "add aws_flow_log")
			} else if log.Values.Text("traffic_type") != "ALL" {
				w.breaks(log, "it does not log all traffic", `set traffic_type = "ALL"`)
			}
		}
	}
}
