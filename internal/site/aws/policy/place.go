package policy

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Node is an end of a way: whatever has security groups, and networks outside.
type Node struct {
	Kind string // "service", "database", "balancer", "endpoint", "internet", "network", or a type of AWS
	Name string
}

// Internet is everybody by IPv4, InternetIPv6 everybody by IPv6.
var (
	Internet     = Node{Kind: "internet"}
	InternetIPv6 = Node{"internet", "ipv6"}
)

func (n Node) String() string {
	if n.Name == "" {
		return n.Kind
	}
	return n.Kind + "." + n.Name
}

const kindNetwork = "network"

// Tags by which a node's name is known.
const (
	tagService  = "godwit:service"
	tagDatabase = "godwit:database"
)

// place is a node, or one of several that are the same to whoever reaches them,
// with where it stands.
type place struct {
	node     Node
	resource Resource
	groups   []string
	spots    []spot // its subnets by IPv4
	spots6   []spot // those that have IPv6
	public   bool   // it has addresses that the internet knows
	targets  []string
}

// places are all that have security groups, whatever they are.
func (w *world) places() ([]place, error) {
	var all []place
	for _, r := range w.all {
		p, subnets, err := w.place(r)
		if err == nil && p.node.Kind != "" {
			err = w.stand(&p, subnets)
			all = append(all, p)
		}
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// place is that of a resource, and its subnets; without a node when it has none.
func (w *world) place(r Resource) (place, []string, error) {
	v := r.Values
	p := place{resource: r, groups: groupsOf(r), public: true}
	subnets := slices.Concat(v.Texts("subnet_ids"), v.Texts("subnets"))
	switch r.Type {
	case "aws_autoscaling_group":
		template, err := w.templateOf(r)
		subnets = v.Texts("vpc_zone_identifier")
		p.node = Node{"service", cmp.Or(v.Tag(tagService), template.Values.Tag(tagService), v.Text("name"))}
		p.groups, p.targets = groupsOf(template), w.heldBy(r)
		p.public = template.Values.Block("network_interfaces").True("associate_public_ip_address") || w.mapsPublic(subnets)
		return p, subnets, err
	case "aws_launch_template": // what is started from it counts
	case "aws_db_instance":
		group, _ := w.with("aws_db_subnet_group", "name", v.Text("db_subnet_group_name"))
		subnets = group.Values.Texts("subnet_ids")
		p.node = Node{"database", cmp.Or(v.Tag(tagDatabase), v.Text("identifier"))}
		p.public = v.True("publicly_accessible")
	case "aws_lb":
		p.node = Node{"balancer", v.Text("name")}
		p.public = !v.True("internal")
	case "aws_vpc_endpoint":
		p.public = false
		if len(p.groups) > 0 { // otherwise a gateway, which is in route tables
			p.node = Node{"endpoint", endpointName(r)}
		}
	default:
		if len(p.groups) > 0 {
			p.node = Node{strings.TrimPrefix(r.Type, "aws_"), r.Address}
		}
		subnets = append(subnets, v.Text("subnet_id"))
		for _, b := range slices.Concat(v.Blocks("vpc_config"), v.Blocks("network_configuration")) {
			subnets = slices.Concat(subnets, b.Texts("subnet_ids"), b.Texts("subnets"))
		}
	}
	return p, subnets, nil
}

// stand finds the networks of a place.
func (w *world) stand(p *place, subnets []string) error {
	if len(p.groups) == 0 {
		return fmt.Errorf("%s has no security group, or none that is known yet: AWS would give it the default one", p.resource.Address)
	}
	for _, id := range subnets {
		s, ok := w.with("aws_subnet", "id", id)
		if !ok {
			continue
		}
		if n, err := netip.ParsePrefix(s.Values.Text("cidr_block")); err == nil {
			p.spots = append(p.spots, spot{id, n.Masked()})
		}
		if n, err := netip.ParsePrefix(s.Values.Text("ipv6_cidr_block")); err == nil && (p.resource.Type != "aws_lb" || p.resource.Values.Text("ip_address_type") != "ipv4") {
			p.spots6 = append(p.spots6, spot{id, n.Masked()})
		}
	}
	if len(p.spots)+len(p.spots6) == 0 {
		return fmt.Errorf("%s is in no subnet that is known: see what was applied, not what is planned", p.resource.Address)
	}
	return nil
}

// templateOf is what a group starts its instances from.
func (w *world) templateOf(group Resource) (Resource, error) {
	specification := group.Values.Block("launch_template")
	if mixed := group.Values.Block("mixed_instances_policy").Block("launch_template").Block("launch_template_specification"); len(mixed) > 0 {
		specification = Values{"id": mixed["launch_template_id"], "name": mixed["launch_template_name"]}
	}
	for _, attribute := range []string{"id", "name"} {
		if t, ok := w.with("aws_launch_template", attribute, specification.Text(attribute)); ok {
			return t, nil
		}
	}
	return Resource{}, fmt.Errorf("%s starts a launch template that is not there, or not made yet", group.Address)
}

// heldBy are the target groups that the instances of a group come into.
func (w *world) heldBy(group Resource) []string {
	all := targetGroupsOf(group)
	for _, a := range w.attachments() {
		if a.group != "" && a.group == group.Values.Text("name") {
			all = append(all, a.target)
		}
	}
	return all
}

func (w *world) mapsPublic(subnets []string) bool {
	return slices.ContainsFunc(subnets, func(id string) bool {
		s, _ := w.with("aws_subnet", "id", id)
		return s.Values.True("map_public_ip_on_launch") || s.Values.True("assign_ipv6_address_on_creation")
	})
}

// endpointName is the service that an endpoint is for, without com.amazonaws.REGION.
func endpointName(r Resource) string {
	parts := strings.SplitN(r.Values.Text("service_name"), ".", 4)
	return parts[len(parts)-1]
}

// outside is a network that is not ours.
type outside struct {
	node   Node
	at     spot
	list   string   // prefix list, when it is known by one
	tables []string // route tables that lead to it, when it is a gateway endpoint
}

var (
	allIPv4 = netip.MustParsePrefix("0.0.0.0/0")
	allIPv6 = netip.MustParsePrefix("::/0")
)

// outsides are the internet, and all networks outside that a rule or a VPN names.
func (w *world) outsides() []outside {
	all := []outside{{node: Internet, at: spot{network: allIPv4}}, {node: InternetIPv6, at: spot{network: allIPv6}}}
	seen := map[netip.Prefix]bool{allIPv4: true, allIPv6: true}
	add := func(n netip.Prefix) {
		if !seen[n] && !w.ours(n) {
			seen[n] = true
			all = append(all, outside{node: Node{kindNetwork, n.String()}, at: spot{network: n}})
		}
	}
	lists := map[string]bool{}
	for _, g := range w.gates {
		for _, n := range g.networks {
			add(n)
		}
		for _, id := range g.lists {
			if !lists[id] && len(w.listed([]string{id})) == 0 {
				lists[id] = true
				all = append(all, w.listOutside(id))
			}
		}
	}
	for _, r := range w.of("aws_vpn_connection_route") {
		if n, err := netip.ParsePrefix(r.Values.Text("destination_cidr_block")); err == nil {
			add(n.Masked())
		}
	}
	return all
}

// listOutside is what a prefix list of AWS stands for.
func (w *world) listOutside(id string) outside {
	o := outside{node: Node{"list", id}, at: spot{network: allIPv4}, list: id}
	for _, e := range w.of("aws_vpc_endpoint") {
		if e.Values.Text("prefix_list_id") == id && e.Values.Text("vpc_endpoint_type") == "Gateway" {
			o.node, o.tables = Node{"endpoint", endpointName(e)}, e.Values.Texts("route_table_ids")
			for _, a := range w.of("aws_vpc_endpoint_route_table_association") {
				if a.Values.Text("vpc_endpoint_id") == e.Values.Text("id") {
					o.tables = append(o.tables, a.Values.Text("route_table_id"))
				}
			}
		}
	}
	return o
}

// ours: the network is within one of our own.
func (w *world) ours(n netip.Prefix) bool {
	return slices.ContainsFunc(w.of("aws_vpc"), func(vpc Resource) bool {
		for _, attribute := range []string{"cidr_block", "ipv6_cidr_block"} {
			if p, err := netip.ParsePrefix(vpc.Values.Text(attribute)); err == nil && within(n, p.Masked()) {
				return true
			}
		}
		return false
	})
}
