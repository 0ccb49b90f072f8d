package policy_test

import (
	"slices"
	"strings"
	"testing"

	"godwit/internal/site/aws/policy"
)

// TestReachFollowsWhatIsThere: each change of the resources changes the ways
// that it has to, and no other. "+" are ways that come, "-" those that go; " in
// part" is one that some zone, colour or address has no more.
func TestReachFollowsWhatIsThere(t *testing.T) {
	t.Parallel()
	for _, c := range slices.Concat(groupChanges, balancerChanges, aclChanges, routeChanges, outsideChanges) {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l, root := bistro(t), c.root
			if root == "grill" {
				l, root = parse(t, grill), production
			}
			r := made(t, l, root)
			before := r.ways()
			c.make(r)
			after := r.ways()
			var got []string
			for _, w := range before {
				if !slices.Contains(after, w) {
					got = append(got, "-"+w)
				}
			}
			for _, w := range after {
				if !slices.Contains(before, w) {
					got = append(got, "+"+w)
				}
			}
			slices.Sort(got)
			slices.Sort(c.want)
			if !slices.Equal(got, c.want) {
				t.Errorf("changed %q\nwant    %q", got, c.want)
			}
		})
	}
}

type change struct {
	name string
	root string
	make func(r tree)
	want []string
}

const (
	tillDatabase    = "service.till -> database.till:5432"
	kitchenDatabase = "service.kitchen -> database.till:5432"
	menuDatabase    = "service.menu -> database.menu:5432"
	tillMenu        = "service.till -> service.menu:8080"
	publicTill      = "balancer.bistro-test-public -> service.till:8080"
	publicMenu      = "balancer.bistro-test-public -> service.menu:8080"
	internalMenu    = "balancer.bistro-test-menu-internal -> service.menu:8080"
)

// by is a way of clients, by both families.
func by(sign, service, suffix string) []string {
	return []string{sign + "internet -> service." + service + ":8080" + suffix, sign + "internet.ipv6 -> service." + service + ":8080" + suffix}
}

func in(parts ...any) (all []string) {
	for _, p := range parts {
		switch p := p.(type) {
		case string:
			all = append(all, p)
		case []string:
			all = append(all, p...)
		}
	}
	return all
}

// partly is that a way is there in part only from now on.
func partly(way string) []string { return []string{"-" + way, "+" + way + " in part"} }

// open adds both rules of an edge.
func open(r tree, from, to string, port float64) {
	a, b := r.get("aws_security_group."+from, "id"), r.get("aws_security_group."+to, "id")
	r.add("aws_vpc_security_group_egress_rule", gate(a, port, policy.Values{"referenced_security_group_id": b}))
	r.add("aws_vpc_security_group_ingress_rule", gate(b, port, policy.Values{"referenced_security_group_id": a}))
}

// gate is a rule of a security group.
func gate(group string, port float64, peer policy.Values) policy.Values {
	peer["security_group_id"], peer["ip_protocol"], peer["from_port"], peer["to_port"] = group, "tcp", port, port
	return peer
}

// interfaces are the endpoints that stand in the network.
var interfaces = []string{"autoscaling", "logs", "monitoring", "secretsmanager"}

var groupChanges = []change{
	{"nothing", test, func(tree) {}, nil},
	{"no way in", test, func(r tree) { r.drop(ingressRule + "database_till_from_service_till") }, in("-" + tillDatabase)},
	{"no way out", test, func(r tree) { r.drop(egressRule + "service_till_to_database_till") }, in("-" + tillDatabase)},
	{"kitchen to menu", test, func(r tree) { open(r, "service_kitchen", "service_menu", 8080) }, in("+service.kitchen -> service.menu:8080")},
	{"kitchen to menu by its load balancer", test, func(r tree) { open(r, "service_kitchen", "internal_menu", 8080) }, in("+service.kitchen -> service.menu:8080")},
	{"kitchen to menu's database, only out", test, func(r tree) {
		r.add("aws_vpc_security_group_egress_rule", gate(r.get("aws_security_group.service_kitchen", "id"), 5432,
			policy.Values{"referenced_security_group_id": r.get("aws_security_group.database_menu", "id")}))
	}, nil},
	{"another port at one end", test, func(r tree) { r.set(ingressRule+"database_till_from_service_till", "from_port", 5433.) }, in("-" + tillDatabase)},
	{"a range of ports at both ends", test, func(r tree) {
		r.set(ingressRule+"endpoints_from_service_till", "to_port", 450.)
		r.set(egressRule+"service_till_to_endpoints", "to_port", 445.)
	}, in(each("-service.till -> endpoint.", ":443", interfaces...), each("+service.till -> endpoint.", ":443-445", interfaces...))},
	{"a range of ports that the ACL does not know", test, func(r tree) {
		r.set(ingressRule+"database_till_from_service_till", "to_port", 6000.)
		r.set(egressRule+"service_till_to_database_till", "to_port", 5439.)
	}, nil},
	{"all protocols at one end", test, func(r tree) { r.set(ingressRule+"database_till_from_service_till", "ip_protocol", "-1") }, nil},
	{"another protocol at one end", test, func(r tree) { r.set(ingressRule+"database_till_from_service_till", "ip_protocol", "udp") }, in("-" + tillDatabase)},
	{"the network in place of a group", test, func(r tree) {
		rewrite(r, ingressRule+"database_menu_from_service_menu", policy.Values{"cidr_ipv4": "10.10.0.0/16"})
	}, nil},
	{"everybody in the network may out and in", test, func(r tree) {
		rewrite(r, ingressRule+"database_menu_from_service_menu", policy.Values{"cidr_ipv4": "10.10.0.0/16"})
		rewrite(r, egressRule+"service_kitchen_to_database_till", policy.Values{"cidr_ipv4": "10.10.0.0/16"})
	}, in("+service.kitchen -> database.menu:5432")},
	{"one zone in place of a group", test, func(r tree) {
		rewrite(r, ingressRule+"database_menu_from_service_menu", policy.Values{"cidr_ipv4": r.get("aws_subnet.private[\"0\"]", "cidr_block")})
	}, partly(menuDatabase)},
	{"part of a zone in place of a group", test, func(r tree) {
		rewrite(r, ingressRule+"database_menu_from_service_menu", policy.Values{"cidr_ipv4": "10.10.128.0/28"})
	}, partly(menuDatabase)},
	{"itself", test, func(r tree) {
		r.add("aws_security_group_rule", policy.Values{"type": "ingress", "security_group_id": r.get("aws_security_group.service_till", "id"),
			"self": true, "protocol": "tcp", "from_port": 7946., "to_port": 7946.})
		r.add("aws_security_group_rule", policy.Values{"type": "egress", "security_group_id": r.get("aws_security_group.service_till", "id"),
			"source_security_group_id": "123456789012/" + r.get("aws_security_group.service_till", "id"), "protocol": "6", "from_port": 7946., "to_port": 7946.})
	}, in("+service.till -> service.till:7946")},
	{"rules in the groups", test, func(r tree) {
		r.the("aws_security_group.service_kitchen").Values["egress"] = []any{map[string]any{"protocol": "udp", "from_port": 514., "to_port": 514.,
			"security_groups": []any{r.get("aws_security_group.service_menu", "id")}}}
		r.the("aws_security_group.service_menu").Values["ingress"] = []any{map[string]any{"protocol": "17", "from_port": 514., "to_port": 515.,
			"security_groups": []any{r.get("aws_security_group.service_kitchen", "id")}}}
	}, in("+service.kitchen -> service.menu:udp/514 in part")}, // within a zone: ACLs know TCP only
	{"the wrong group on instances", test, func(r tree) {
		r.set("module.service_kitchen.aws_launch_template.this", "vpc_security_group_ids", []any{r.get("aws_security_group.service_menu", "id")})
	}, in("-"+kitchenDatabase, "+service.kitchen -> database.menu:5432", "+balancer.bistro-test-menu-internal -> service.kitchen:8080")}, // as menu
	{"the wrong group on a database", test, func(r tree) {
		r.set("module.database_menu.aws_db_instance.this", "vpc_security_group_ids", []any{r.get("aws_security_group.database_till", "id")})
	}, in("-"+menuDatabase, "+service.till -> database.menu:5432", "+service.kitchen -> database.menu:5432")},
	{"a group of something else", test, func(r tree) {
		r.add("aws_elasticache_cluster", policy.Values{"security_group_ids": []any{r.get("aws_security_group.database_menu", "id")},
			"subnet_ids": []any{r.get("aws_subnet.data[\"0\"]", "id")}})
	}, in("+service.menu -> elasticache_cluster.aws_elasticache_cluster.added:5432")},
}

func targetGroup(r tree, service, face, colour string) string {
	return r.get("module.service_"+service+".aws_lb_target_group.this[\""+face+"-"+colour+"\"]", "arn")
}

var balancerChanges = []change{
	{"the internal one forwards to another service", test, func(r tree) {
		r.set("aws_lb_listener_rule.all[\"internal\"]", "action/forward/target_group", []any{
			map[string]any{"arn": targetGroup(r, "till", "public", "blue")}, map[string]any{"arn": targetGroup(r, "till", "public", "green")}})
	}, in("-" + tillMenu)}, // till's instances do not let it in
	{"the public one forwards to another service", test, func(r tree) {
		r.set("aws_lb_listener_rule.host[\"test.till.bistro.example\"]", "action/forward/target_group", []any{
			map[string]any{"arn": targetGroup(r, "menu", "public", "blue")}, map[string]any{"arn": targetGroup(r, "menu", "public", "green")}})
	}, by("-", "till", "")},
	{"it forwards to one colour", test, func(r tree) {
		r.set("aws_lb_listener_rule.host[\"test.till.bistro.example\"]", "action/forward/target_group", []any{map[string]any{"arn": targetGroup(r, "till", "public", "blue")}})
	}, in(by("-", "till", ""), by("+", "till", " in part"))},
	{"it forwards without a block", test, func(r tree) {
		r.set("aws_lb_listener_rule.all[\"internal\"]", "action/target_group_arn", targetGroup(r, "menu", "internal", "blue"))
		r.set("aws_lb_listener_rule.all[\"internal\"]", "action/forward", []any{})
	}, partly(tillMenu)},
	{"its default forwards", test, func(r tree) {
		r.drop("aws_lb_listener_rule.all[\"internal\"]")
		values := r.the("module.internal_menu.aws_lb_listener.this").Values
		values["default_action"] = []any{map[string]any{"type": "forward", "target_group_arn": targetGroup(r, "menu", "internal", "green")}}
	}, partly(tillMenu)},
	{"it forwards nowhere", test, func(r tree) { r.drop("aws_lb_listener_rule.all[\"internal\"]") }, in("-" + tillMenu)},
	{"it listens elsewhere", test, func(r tree) { r.set("module.internal_menu.aws_lb_listener.this", "port", 9090.) }, in("-" + tillMenu)},
	{"its target group has another port", test, func(r tree) {
		r.set("module.service_menu.aws_lb_target_group.this[\"internal-blue\"]", "port", 8081.)
	}, partly(tillMenu)},
	{"instances are in no target group", test, func(r tree) {
		r.set("module.service_menu.aws_autoscaling_group.this[\"green\"]", "target_group_arns", []any{})
	}, in(partly(tillMenu), by("-", "menu", ""), by("+", "menu", " in part"))},
	{"instances in another's target group", test, func(r tree) {
		open(r, "internal_menu", "service_kitchen", 8080)
		values := r.the("module.service_kitchen.aws_autoscaling_group.this[\"blue\"]").Values
		values["target_group_arns"] = append(values["target_group_arns"].([]any), targetGroup(r, "menu", "internal", "blue"))
	}, in("+balancer.bistro-test-menu-internal -> service.kitchen:8080", "+service.till -> service.kitchen:8080 in part")},
	{"instances by an attachment", test, func(r tree) {
		r.set(till, "target_group_arns", []any{})
		r.add("aws_autoscaling_attachment", policy.Values{"autoscaling_group_name": r.get(till, "name"), "lb_target_group_arn": targetGroup(r, "till", "public", "blue")})
	}, nil},
	{"menu's group on the public one", test, func(r tree) {
		r.set(balancer, "security_groups", []any{r.get("aws_security_group.service_menu", "id")})
	}, in(by("-", "till", ""), by("-", "menu", ""), by("-", "kitchen", ""), "-"+publicTill, "-"+publicMenu, "-balancer.bistro-test-public -> service.kitchen:8080",
		each("+balancer.bistro-test-public -> endpoint.", ":443", interfaces...))}, // the ACL keeps it from the database
	{"the public one turned in", test, func(r tree) { r.set(balancer, "internal", true) }, in(by("-", "till", ""), by("-", "menu", ""), by("-", "kitchen", ""))},
	{"the internal one turned out, in private subnets", test, func(r tree) {
		r.set(internal, "internal", false)
		rewrite(r, ingressRule+"internal_menu_from_service_till", policy.Values{"cidr_ipv4": "0.0.0.0/0"})
	}, nil},
	{"the internal one turned out", test, func(r tree) {
		r.drop("module.service_menu.aws_lb_listener_rule.host")
		r.set(internal, "internal", false)
		r.the(internal).Values["subnets"] = r.the(balancer).Values["subnets"]
		rewrite(r, ingressRule+"internal_menu_from_service_till", policy.Values{"cidr_ipv4": "0.0.0.0/0", "from_port": 8080., "to_port": 8080.})
		r.the("aws_network_acl_rule.ipv4[\"public-in-0.0.0.0/0-443\"]").Values["to_port"] = 8080.
	}, in("-internet.ipv6 -> service.menu:8080")}, // by IPv4 it is reached there now; till comes in as everybody
	{"clients by IPv6 from the network itself", test, func(r tree) {
		rewrite(r, ingressRule+"public_from_clients_https_ipv6", policy.Values{"cidr_ipv6": r.get("aws_vpc.this", "ipv6_cidr_block")})
	}, in("-internet.ipv6 -> service.till:8080", "-internet.ipv6 -> service.menu:8080", "-internet.ipv6 -> service.kitchen:8080")},
	{"IPv4 only", test, func(r tree) { r.set(balancer, "ip_address_type", "ipv4") },
		in("-internet.ipv6 -> service.till:8080", "-internet.ipv6 -> service.menu:8080", "-internet.ipv6 -> service.kitchen:8080")},
	{"no clients by IPv6", test, func(r tree) { r.drop("from_clients_https_ipv6") },
		in("-internet.ipv6 -> service.till:8080", "-internet.ipv6 -> service.menu:8080", "-internet.ipv6 -> service.kitchen:8080")},
}

// TestReachSaysWhatItCannotSee: whatever has no place is an error, not left out.
func TestReachSaysWhatItCannotSee(t *testing.T) {
	t.Parallel()
	for _, c := range []change{
		{"no security group", test, func(r tree) { r.set(till5432, "vpc_security_group_ids", []any{}) }, []string{"module.database_till.aws_db_instance.this has no security group"}},
		{"no subnet", test, func(r tree) { r.set(till, "vpc_zone_identifier", []any{"subnet-1"}) }, []string{"is in no subnet that is known"}},
		{"no launch template", test, func(r tree) { r.set(till, "launch_template/id", "lt-1") }, []string{"starts a launch template that is not there"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := made(t, bistro(t), c.root)
			c.make(r)
			_, err := policy.Reach(*r.all)
			for _, text := range c.want {
				if err == nil || !strings.Contains(err.Error(), text) {
					t.Errorf("%v does not say %q", err, text)
				}
			}
		})
	}
}
