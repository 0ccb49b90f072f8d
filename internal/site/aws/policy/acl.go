package policy

import (
	"cmp"
	"net/netip"
	"slices"
)

// The ports that systems take for their end of a connection: Linux, and whoever
// else may ask, load balancers and NAT gateways among them.
var (
	linuxEphemeral = ports{{32768, 60999}}
	ephemeral      = ports{{1024, 65535}}
)

// flow is a connection between two addresses: subnets, or networks outside,
// which have no subnet.
type flow struct {
	from, to spot
	protocol string
	own      ports // that the beginning may take for itself
}

type spot struct {
	subnet  string
	network netip.Prefix
}

// passes are the ports of a flow that network ACLs let there and back: could for
// some of the addresses, surely for all of them.
func (w *world) passes(f flow) (could, surely ports) {
	if f.from.subnet == f.to.subnet && f.from.subnet != "" {
		return everyPort, everyPort // within a subnet no ACL is asked
	}
	for _, sure := range []bool{false, true} {
		there := w.lets(f.from, true, f.to, f.protocol, sure).and(w.lets(f.to, false, f.from, f.protocol, sure))
		back := w.lets(f.to, true, f.from, f.protocol, sure).and(w.lets(f.from, false, f.to, f.protocol, sure))
		if sure && back.holds(f.own) {
			surely = there
		}
		if !sure && len(back.and(f.own)) > 0 {
			could = there
		}
	}
	return could, surely
}

// lets are the ports to which the ACL at a spot lets packets of a protocol out
// to, or in from, another: to or from some of its addresses, or surely all.
func (w *world) lets(at spot, egress bool, peer spot, protocol string, sure bool) ports {
	acl, ok := w.aclOf(at.subnet)
	if !ok {
		return everyPort // the network's default ACL lets everything through
	}
	var allowed, decided ports
	for _, rule := range w.aclRules(acl, egress) {
		of := rule.ports.without(decided)
		if rule.protocol != "" && rule.protocol != protocol || !rule.network.Overlaps(peer.network) {
			continue
		}
		all := within(peer.network, rule.network)
		if peer.network.Bits() == 0 && private(rule.network) {
			continue // the internet is not there
		}
		// What is said of some of the addresses only counts against being sure.
		if rule.allows && (all || !sure) {
			allowed = allowed.or(of)
		}
		if all || sure && !rule.allows {
			decided = decided.or(rule.ports)
		}
	}
	return allowed
}

func private(n netip.Prefix) bool { return n.Addr().IsPrivate() }

func (w *world) aclOf(subnet string) (Resource, bool) {
	if subnet == "" {
		return Resource{}, false
	}
	if a, ok := w.with("aws_network_acl_association", "subnet_id", subnet); ok {
		return w.with("aws_network_acl", "id", a.Values.Text("network_acl_id"))
	}
	for _, a := range w.of("aws_network_acl", "aws_default_network_acl") {
		if slices.Contains(a.Values.Texts("subnet_ids"), subnet) {
			return a, true
		}
	}
	return Resource{}, false
}

// aclRule is a rule of a network ACL.
type aclRule struct {
	number   int
	allows   bool
	network  netip.Prefix
	protocol string
	ports    ports
}

// aclSide is one direction of an ACL.
type aclSide struct {
	id     string
	egress bool
}

// aclRules are the rules of an ACL in one direction, in the order in which AWS
// asks them.
func (w *world) aclRules(acl Resource, egress bool) []aclRule {
	side := aclSide{acl.Values.Text("id"), egress}
	if rules, ok := w.acls[side]; ok {
		return rules
	}
	var all []aclRule
	add := func(v Values) {
		cidr, err := netip.ParsePrefix(cmp.Or(v.Text("cidr_block"), v.Text("ipv6_cidr_block")))
		if err != nil {
			return
		}
		rule := aclRule{
			number:  cmp.Or(v.Int("rule_number"), v.Int("rule_no")),
			allows:  cmp.Or(v.Text("rule_action"), v.Text("action")) == "allow",
			network: cidr.Masked(),
		}
		rule.protocol, rule.ports = traffic(v, "protocol")
		all = append(all, rule)
	}
	for _, r := range w.of("aws_network_acl_rule") {
		if r.Values.Text("network_acl_id") == side.id && r.Values.True("egress") == egress {
			add(r.Values)
		}
	}
	direction := "ingress"
	if egress {
		direction = "egress"
	}
	for _, block := range acl.Values.Blocks(direction) {
		add(block)
	}
	slices.SortStableFunc(all, func(a, b aclRule) int { return a.number - b.number })
	w.acls[side] = all
	return all
}
