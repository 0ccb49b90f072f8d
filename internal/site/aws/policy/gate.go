package policy

import (
	"net/netip"
	"slices"
	"strings"
)

// gate is a rule of a security group, however it is written: on its own, in the
// older way, or inside of the group.
type gate struct {
	by       Resource
	group    string // "" while not known
	ingress  bool
	protocol string // "tcp"; "" is all of them
	ports    ports  // nil while not known
	groups   []string
	networks []netip.Prefix
	lists    []string // prefix lists, by id
}

func (w *world) allGates() []gate {
	var all []gate
	for _, r := range w.of("aws_vpc_security_group_ingress_rule", "aws_vpc_security_group_egress_rule") {
		ingress := r.Type == "aws_vpc_security_group_ingress_rule"
		all = append(all, newGate(r, r.Values, ingress, r.Values.Text("security_group_id")))
	}
	for _, r := range w.of("aws_security_group_rule") {
		all = append(all, newGate(r, r.Values, r.Values.Text("type") == "ingress", r.Values.Text("security_group_id")))
	}
	// AWS shows rules of their own in the group as well, so one may be told twice.
	for _, r := range w.of("aws_security_group", "aws_default_security_group") {
		for _, direction := range []string{"ingress", "egress"} {
			for _, block := range r.Values.Blocks(direction) {
				all = append(all, newGate(r, block, direction == "ingress", r.Values.Text("id")))
			}
		}
	}
	for i := range all {
		all[i].networks = append(all[i].networks, w.listed(all[i].lists)...)
	}
	return all
}

func newGate(by Resource, v Values, ingress bool, group string) gate {
	g := gate{by: by, group: group, ingress: ingress, groups: v.Texts("security_groups")}
	g.protocol, g.ports = traffic(v, "ip_protocol", "protocol")
	if v.True("self") {
		g.groups = append(g.groups, group)
	}
	for _, name := range []string{"referenced_security_group_id", "source_security_group_id"} {
		if s := v.Text(name); s != "" {
			g.groups = append(g.groups, s[strings.LastIndex(s, "/")+1:]) // ACCOUNT/sg-… of another account
		}
	}
	cidrs := slices.Concat(v.Texts("cidr_blocks"), v.Texts("ipv6_cidr_blocks"), []string{v.Text("cidr_ipv4"), v.Text("cidr_ipv6")})
	for _, cidr := range cidrs {
		if p, err := netip.ParsePrefix(cidr); err == nil {
			g.networks = append(g.networks, p.Masked())
		}
	}
	g.lists = v.Texts("prefix_list_ids")
	if s := v.Text("prefix_list_id"); s != "" {
		g.lists = append(g.lists, s)
	}
	return g
}

// traffic is the protocol that a rule is for, "" for all, and its ports.
func traffic(v Values, names ...string) (protocol string, of ports) {
	for _, name := range names {
		if s := v.Text(name); s != "" {
			protocol = protocolName(s)
			break
		}
	}
	switch {
	case protocol == "":
		return "", nil
	case protocol == "all":
		return "", everyPort
	case protocol != "tcp" && protocol != "udp":
		return protocol, everyPort // what stands as ports is something else there
	case v.Text("from_port") == "" || v.Text("to_port") == "":
		return protocol, nil
	}
	return protocol, ports{{v.Int("from_port"), v.Int("to_port")}}
}

func protocolName(s string) string {
	switch s = strings.ToLower(s); s {
	case "-1":
		return "all"
	case "1":
		return "icmp"
	case "6":
		return "tcp"
	case "17":
		return "udp"
	case "58":
		return "icmpv6"
	}
	return s
}

// only: it opens one port of TCP, as far as is known.
func (g gate) only(wanted ...int) bool {
	if g.ports == nil {
		return true
	}
	return g.protocol == "tcp" && slices.ContainsFunc(wanted, func(port int) bool {
		return ports{{port, port}}.holds(g.ports)
	})
}

// opens: it lets a port of TCP through.
func (g gate) opens(port int) bool {
	return (g.protocol == "tcp" || g.protocol == "") && g.ports != nil && g.ports.holds(ports{{port, port}})
}

// listed are the networks in prefix lists of our own.
func (w *world) listed(lists []string) []netip.Prefix {
	var all []netip.Prefix
	for _, id := range lists {
		list, _ := w.with("aws_ec2_managed_prefix_list", "id", id)
		entries := list.Values.Blocks("entry")
		for _, e := range w.of("aws_ec2_managed_prefix_list_entry") {
			if e.Values.Text("prefix_list_id") == id {
				entries = append(entries, e.Values)
			}
		}
		for _, e := range entries {
			if p, err := netip.ParsePrefix(e.Text("cidr")); err == nil {
				all = append(all, p.Masked())
			}
		}
	}
	return all
}

// groupsOf are the security groups of whatever has some.
func groupsOf(r Resource) []string {
	v := r.Values
	all := slices.Concat(v.Texts("vpc_security_group_ids"), v.Texts("security_group_ids"), v.Texts("security_groups"))
	for _, block := range []string{"network_interfaces", "vpc_config", "network_configuration"} {
		for _, b := range v.Blocks(block) {
			all = append(all, b.Texts("security_groups")...)
			all = append(all, b.Texts("security_group_ids")...)
		}
	}
	return all
}
