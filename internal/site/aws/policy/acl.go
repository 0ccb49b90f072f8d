package policy

import (
	"cmp"
	"net/netip"
	"slices"
)

// The ports that systems take for their end of a connection; Linux's are within.
const (
	ephemeralFrom = 32768
	ephemeralTo   = 60999
)

// everywhere stands for an address outside.
var everywhere = netip.MustParsePrefix("198.51.100.0/24")

// passes: the network ACLs let packets of a connection to port there and back
// between all subnets of both ends. No subnets stand for the internet.
func (w *world) passes(from, to []string, port int) bool {
	for _, a := range orEverywhere(from) {
		for _, b := range orEverywhere(to) {
			if a == b && a != "" {
				continue // within a subnet no ACL is asked
			}
			if !w.lets(a, true, b, port, port) || !w.lets(b, false, a, port, port) ||
				!w.lets(b, true, a, ephemeralFrom, ephemeralTo) || !w.lets(a, false, b, ephemeralFrom, ephemeralTo) {
				return false
			}
		}
	}
	return true
}

func orEverywhere(subnets []string) []string {
	if len(subnets) == 0 {
		return []string{""}
	}
	return subnets
}

// lets: the ACL of a subnet lets TCP packets to ports out to, or in from, a peer.
func (w *world) lets(subnet string, egress bool, peer string, from, to int) bool {
	if subnet == "" {
		return true
	}
	acl, ok := w.aclOf(subnet)
	if !ok {
		return true // the network's default ACL lets everything through
	}
	address := everywhere
	if cidrs := w.cidrs([]string{peer}); len(cidrs) > 0 {
		address = cidrs[0]
	}
	for _, rule := range w.aclRules(acl, egress) {
		p, err := netip.ParsePrefix(rule.Text("cidr_block"))
		if err != nil || p.Bits() > address.Bits() || !p.Contains(address.Addr()) {
			continue
		}
		first, last := 0, 65535
		if protocol := rule.Text("protocol"); protocol != "-1" && protocol != "all" {
			if protocol != "tcp" && protocol != "6" {
				continue
			}
			first, last = rule.Int("from_port"), rule.Int("to_port")
		}
		if first <= from && to <= last {
			return cmp.Or(rule.Text("rule_action"), rule.Text("action")) == "allow"
		}
		if first <= to && from <= last && cmp.Or(rule.Text("rule_action"), rule.Text("action")) == "deny" {
			return false
		}
	}
	return false
}

func (w *world) aclOf(subnet string) (Resource, bool) {
	for _, a := range w.of("aws_network_acl") {
		if slices.Contains(a.Values.Texts("subnet_ids"), subnet) {
			return a, true
		}
	}
	if a, ok := w.with("aws_network_acl_association", "subnet_id", subnet); ok {
		return w.with("aws_network_acl", "id", a.Values.Text("network_acl_id"))
	}
	return Resource{}, false
}

// aclRules are the rules of an ACL in one direction, in the order in which AWS
// asks them.
func (w *world) aclRules(acl Resource, egress bool) []Values {
	var all []Values
	for _, r := range w.of("aws_network_acl_rule") {
		if r.Values.Text("network_acl_id") == acl.Values.Text("id") && r.Values.True("egress") == egress {
			all = append(all, r.Values)
		}
	}
	slices.SortFunc(all, func(a, b Values) int { return a.Int("rule_number") - b.Int("rule_number") })
	return all
}

func (w *world) cidrs(subnets []string) []netip.Prefix {
	var all []netip.Prefix
	for _, id := range subnets {
		s, _ := w.with("aws_subnet", "id", id)
		if p, err := netip.ParsePrefix(s.Values.Text("cidr_block")); err == nil {
			all = append(all, p)
		}
	}
	return all
}
