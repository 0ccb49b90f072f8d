package policy

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
)

// Node is an end of a way: whatever has security groups, and the internet.
type Node struct {
	Kind string // "service", "database", "balancer", "endpoint", "internet", "network"
	Name string
}

func (n Node) String() string {
	if n.Name == "" {
		return n.Kind
	}
	return n.Kind + "." + n.Name
}

// Way is that packets of a connection get from one node to another and back.
type Way struct {
	From, To Node
	Port     int
	Through  string // address of the load balancer between them; "" when direct
}

func (w Way) String() string { return fmt.Sprintf("%s -> %s:%d", w.From, w.To, w.Port) }

// Tags by which a node's name is known.
const (
	tagService  = "godwit:service"
	tagDatabase = "godwit:database"
)

// Reach computes who reaches whom, on which port, from the resources alone:
// rules of security groups at both ends, network ACLs of the subnets in both
// directions, and load balancers that forward. Ports that only lead to a load
// balancer which forwards nowhere lead nowhere.
func Reach(resources []Resource) ([]Way, error) {
	w := newWorld(resources, Expect{})
	all, err := w.places()
	if err != nil {
		return nil, err
	}
	var ways []Way
	for _, to := range all {
		for _, from := range all {
			for _, port := range w.open(from, to) {
				ways = append(ways, w.beyond(from, to, port, all)...)
			}
		}
		for _, port := range w.openTo(to) {
			ways = append(ways, w.beyond(place{node: Node{Kind: "internet"}}, to, port, all)...)
		}
	}
	slices.SortFunc(ways, func(a, b Way) int { return cmp.Compare(a.String(), b.String()) })
	return slices.Compact(ways), nil
}

// place is a node with where it stands.
type place struct {
	node     Node
	resource Resource
	groups   []string
	subnets  []string
}

// places are all nodes of the network.
func (w *world) places() ([]place, error) {
	var all []place
	for _, g := range w.of("aws_autoscaling_group") {
		template, ok := w.with("aws_launch_template", "id", g.Values.Block("launch_template").Text("id"))
		if !ok {
			return nil, fmt.Errorf("%s starts a launch template that is not there", g.Address)
		}
		name := cmp.Or(g.Values.Tag(tagService), template.Values.Tag(tagService), g.Values.Text("name"))
		all = append(all, place{Node{"service", name}, g, groupsOf(template), g.Values.Texts("vpc_zone_identifier")})
	}
	for _, d := range w.of("aws_db_instance") {
		subnets, _ := w.with("aws_db_subnet_group", "name", d.Values.Text("db_subnet_group_name"))
		name := cmp.Or(d.Values.Tag(tagDatabase), d.Values.Text("identifier"))
		all = append(all, place{Node{"database", name}, d, groupsOf(d), subnets.Values.Texts("subnet_ids")})
	}
	for _, lb := range w.of("aws_lb") {
		all = append(all, place{Node{"balancer", lb.Values.Text("name")}, lb, groupsOf(lb), lb.Values.Texts("subnets")})
	}
	for _, e := range w.of("aws_vpc_endpoint") {
		if len(groupsOf(e)) > 0 {
			all = append(all, place{Node{"endpoint", e.Values.Text("service_name")}, e, groupsOf(e), e.Values.Texts("subnet_ids")})
		}
	}
	for _, p := range all {
		if len(p.groups) == 0 {
			return nil, fmt.Errorf("%s has no security group: AWS gives it the default one", p.resource.Address)
		}
		if len(p.subnets) == 0 {
			return nil, fmt.Errorf("%s is in no subnet", p.resource.Address)
		}
	}
	return all, nil
}

// ports is a range of a rule; all of them when the rule names none.
func ports(v Values) (from, to int) {
	if v.Text("ip_protocol") == "-1" || !v.Known("from_port") {
		return 0, 65535
	}
	return v.Int("from_port"), v.Int("to_port")
}

// open are the ports on which connections get from one place to another: both
// groups say so, and the ACLs let packets there and back.
func (w *world) open(from, to place) []int {
	var all []int
	for _, in := range w.of("aws_vpc_security_group_ingress_rule") {
		if !slices.Contains(to.groups, in.Values.Text("security_group_id")) || !slices.Contains(from.groups, in.Values.Text("referenced_security_group_id")) {
			continue
		}
		for _, out := range w.of("aws_vpc_security_group_egress_rule") {
			if !slices.Contains(from.groups, out.Values.Text("security_group_id")) || !w.aims(out, to) {
				continue
			}
			inFrom, inTo := ports(in.Values)
			outFrom, outTo := ports(out.Values)
			for port := max(inFrom, outFrom); port <= min(inTo, outTo); port++ {
				if w.passes(from.subnets, to.subnets, port) {
					all = append(all, port)
				}
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// aims: the egress rule leads to the place.
func (w *world) aims(out Resource, to place) bool {
	if slices.Contains(to.groups, out.Values.Text("referenced_security_group_id")) {
		return true
	}
	for _, cidr := range sources(out) {
		p, err := netip.ParsePrefix(cidr)
		for _, s := range w.cidrs(to.subnets) {
			if err == nil && p.Overlaps(s) {
				return true
			}
		}
	}
	return false
}

// openTo are the ports on which everybody reaches a place: its groups and ACLs
// say so, and its subnets have a way to the internet.
func (w *world) openTo(to place) []int {
	var all []int
	for _, in := range w.of("aws_vpc_security_group_ingress_rule") {
		if !slices.Contains(to.groups, in.Values.Text("security_group_id")) || in.Values.Text("cidr_ipv4") != "0.0.0.0/0" || !w.routed(to.subnets) {
			continue
		}
		if to.resource.Type == "aws_lb" && to.resource.Values.True("internal") {
			continue
		}
		from, last := ports(in.Values)
		for port := from; port <= last; port++ {
			if w.passes(nil, to.subnets, port) {
				all = append(all, port)
			}
		}
	}
	return all
}

// routed: a subnet's routes lead to an internet gateway.
func (w *world) routed(subnets []string) bool {
	for _, subnet := range subnets {
		a, _ := w.with("aws_route_table_association", "subnet_id", subnet)
		for _, r := range w.of("aws_route") {
			if r.Values.Text("route_table_id") == a.Values.Text("route_table_id") && r.Values.Text("gateway_id") != "" {
				return true
			}
		}
	}
	return false
}

// beyond is where a port of a place leads: to itself, or, of a load balancer, to
// the services that it forwards to, if it reaches them.
func (w *world) beyond(from, to place, port int, all []place) []Way {
	if to.node.Kind != "balancer" {
		return []Way{{from.node, to.node, port, ""}}
	}
	var ways []Way
	for listener, forwards := range w.forwards() {
		l, _ := w.with("aws_lb_listener", "arn", listener)
		if l.Values.Text("load_balancer_arn") != to.resource.Values.Text("arn") || l.Values.Int("port") != port {
			continue
		}
		for _, f := range forwards {
			group, _ := w.with("aws_lb_target_group", "arn", f.group)
			at := group.Values.Int("port")
			for _, service := range all {
				holds := slices.Contains(service.resource.Values.Texts("target_group_arns"), f.group)
				if holds && slices.Contains(w.open(to, service), at) {
					ways = append(ways, Way{from.node, service.node, at, to.resource.Address})
				}
			}
		}
	}
	return ways
}
