package policy_test

import "godwit/internal/site/aws/policy"

// aclRule adds a rule to a tier's ACL.
func aclRule(r tree, tier string, number float64, action string, egress bool, cidr string, from, to float64) {
	r.add("aws_network_acl_rule", policy.Values{"network_acl_id": r.get("aws_network_acl.this[\""+tier+"\"]", "id"), "rule_number": number,
		"rule_action": action, "egress": egress, "cidr_block": cidr, "protocol": "tcp", "from_port": from, "to_port": to})
}

var databaseWays = []string{tillDatabase, kitchenDatabase, menuDatabase}

// each puts a sign before every way.
func each(sign, suffix string, ways ...string) (all []string) {
	for _, w := range ways {
		all = append(all, sign+w+suffix)
	}
	return all
}

var aclChanges = []change{
	{"the way back is denied", test, func(r tree) { aclRule(r, "data", 1, "deny", true, "0.0.0.0/0", 1024, 65535) }, each("-", "", databaseWays...)},
	{"the way back is denied, too late", test, func(r tree) { aclRule(r, "data", 32000, "deny", true, "0.0.0.0/0", 1024, 65535) }, nil},
	{"the way back is denied in part", test, func(r tree) { aclRule(r, "data", 1, "deny", true, "0.0.0.0/0", 40000, 40100) },
		in(each("-", "", databaseWays...), each("+", " in part", databaseWays...))},
	{"the way back is denied to one zone", test, func(r tree) {
		aclRule(r, "data", 1, "deny", true, r.get("aws_subnet.private[\"1\"]", "cidr_block"), 1024, 65535)
	}, in(each("-", "", databaseWays...), each("+", " in part", databaseWays...))},
	{"the way back is denied to some addresses", test, func(r tree) { aclRule(r, "data", 1, "deny", true, "10.10.128.0/28", 1024, 65535) },
		in(each("-", "", databaseWays...), each("+", " in part", databaseWays...))},
	{"ports that nobody takes are denied", test, func(r tree) { aclRule(r, "data", 1, "deny", true, "0.0.0.0/0", 1024, 32767) }, nil},
	{"another protocol is denied", test, func(r tree) {
		aclRule(r, "data", 1, "deny", true, "0.0.0.0/0", 1024, 65535)
		r.set("aws_network_acl_rule.added", "protocol", "17")
	}, nil},
	{"no way in", test, func(r tree) { r.drop("ipv4[\"data-in-") }, each("-", "", databaseWays...)},
	{"no way in from one zone", test, func(r tree) { r.drop("ipv4[\"data-in-10.10.160.0/19-5432\"]") },
		in(each("-", "", databaseWays...), each("+", " in part", databaseWays...))},
	{"no way out of private subnets", test, func(r tree) { aclRule(r, "private", 1, "deny", true, "10.10.64.0/18", 5432, 5432) }, each("-", "", databaseWays...)},
	{"no way back into private subnets", test, func(r tree) { aclRule(r, "private", 1, "deny", false, "10.10.64.0/18", 1024, 65535) }, each("-", "", databaseWays...)},
	{"rules in the ACL", test, func(r tree) {
		r.drop("ipv4[\"data-in-")
		r.the("aws_network_acl.this[\"data\"]").Values["ingress"] = []any{
			map[string]any{"rule_no": 20., "action": "allow", "protocol": "6", "cidr_block": "10.10.0.0/16", "from_port": 0., "to_port": 65535.},
			map[string]any{"rule_no": 10., "action": "deny", "protocol": "-1", "cidr_block": r.get("aws_subnet.private[\"0\"]", "cidr_block"), "from_port": 0., "to_port": 0.}}
	}, in(each("-", "", databaseWays...), each("+", " in part", databaseWays...))},
	{"no ACL", test, func(r tree) { r.drop("aws_network_acl.this[\"data\"]") }, nil},
	{"an ACL by association", test, func(r tree) {
		for _, zone := range []string{"0", "1"} {
			r.add("aws_network_acl_association", policy.Values{"subnet_id": r.get("aws_subnet.data[\""+zone+"\"]", "id"), "network_acl_id": "acl-1"})
		}
		r.add("aws_network_acl", policy.Values{"id": "acl-1"})
	}, each("-", "", databaseWays...)},
	{"clients are denied", test, func(r tree) { r.drop("ipv4[\"public-in-0.0.0.0/0-443\"]") },
		in("-internet -> service.till:8080", "-internet -> service.menu:8080", "-internet -> service.kitchen:8080")},
	{"answers to clients are denied", test, func(r tree) { r.drop("ipv6[\"public-out-1024\"]") },
		in("-internet.ipv6 -> service.till:8080", "-internet.ipv6 -> service.menu:8080", "-internet.ipv6 -> service.kitchen:8080")},
	{"answers to some clients are denied", test, func(r tree) { aclRule(r, "public", 1, "deny", true, "198.51.100.0/24", 0, 65535) },
		in(partly("internet -> service.till:8080"), partly("internet -> service.menu:8080"), partly("internet -> service.kitchen:8080"))},
	{"the load balancer's own ports are denied", test, func(r tree) { aclRule(r, "public", 1, "deny", false, "10.10.0.0/16", 1024, 32767) },
		in(partly(publicTill), partly(publicMenu), partly("balancer.bistro-test-public -> service.kitchen:8080"),
			partly("internet -> service.till:8080"), partly("internet -> service.menu:8080"), partly("internet -> service.kitchen:8080"),
			partly("internet.ipv6 -> service.till:8080"), partly("internet.ipv6 -> service.menu:8080"), partly("internet.ipv6 -> service.kitchen:8080"))},
}

// peer puts the data subnets into a network of their own, with a route from one
// of the tables to the other.
func peer(r tree, table, cidr string) {
	for _, zone := range []string{"0", "1"} {
		r.set("aws_subnet.data[\""+zone+"\"]", "vpc_id", "vpc-2")
	}
	r.add("aws_route", policy.Values{"route_table_id": r.get("aws_route_table."+table, "id"), "destination_cidr_block": cidr,
		"gateway_id": "", "nat_gateway_id": "", "egress_only_gateway_id": "", "vpc_peering_connection_id": "pcx-1"})
}

var routeChanges = []change{
	{"no route to clients", test, func(r tree) { r.drop("aws_route.public_ipv4") },
		in("-internet -> service.till:8080", "-internet -> service.menu:8080", "-internet -> service.kitchen:8080")},
	{"no route to clients in one zone", test, func(r tree) { r.drop("aws_route_table_association.public[\"1\"]") },
		in(partly("internet -> service.till:8080"), partly("internet -> service.menu:8080"), partly("internet -> service.kitchen:8080"),
			partly("internet.ipv6 -> service.till:8080"), partly("internet.ipv6 -> service.menu:8080"), partly("internet.ipv6 -> service.kitchen:8080"))},
	{"instances with public addresses, and a rule", test, func(r tree) {
		for _, zone := range []string{"0", "1"} {
			r.set("aws_route_table_association.private[\""+zone+"\"]", "route_table_id", r.get("aws_route_table.public", "id"))
		}
		r.set(template, "network_interfaces", []any{map[string]any{"associate_public_ip_address": "true"}})
		rewrite(r, ingressRule+"service_till_from_public", policy.Values{"cidr_ipv4": "0.0.0.0/0", "from_port": 2000., "to_port": 2000.})
		aclRule(r, "private", 1, "allow", true, "0.0.0.0/0", 1024, 65535)
		rewrite(r, egressRule+"service_till_to_s3", policy.Values{"cidr_ipv4": "203.0.113.0/24"})
	}, in(by("-", "till", ""), "-"+publicTill, "+internet -> service.till:2000", "+service.till -> network.203.0.113.0/24:443",
		// Their table knows no gateway of S3.
		"-service.till -> endpoint.s3:443", "-service.menu -> endpoint.s3:443", "-service.kitchen -> endpoint.s3:443")},
	{"no route to S3 from one zone", test, func(r tree) {
		r.set("aws_vpc_endpoint.s3", "route_table_ids", []any{r.get("aws_route_table.private[\"0\"]", "id")})
	}, in(partly("service.till -> endpoint.s3:443"), partly("service.menu -> endpoint.s3:443"), partly("service.kitchen -> endpoint.s3:443"))},
	{"the main table leads out", test, func(r tree) {
		r.drop("aws_route_table_association.public")
		r.add("aws_main_route_table_association", policy.Values{"vpc_id": r.get("aws_vpc.this", "id"), "route_table_id": r.get("aws_route_table.public", "id")})
	}, nil},
	{"S3 by an association", test, func(r tree) {
		tables := r.the("aws_vpc_endpoint.s3").Values["route_table_ids"].([]any)
		r.set("aws_vpc_endpoint.s3", "route_table_ids", []any{})
		r.add("aws_vpc_endpoint_route_table_association", policy.Values{"vpc_endpoint_id": r.get("aws_vpc_endpoint.s3", "id"), "route_table_id": tables[0]})
	}, in(partly("service.till -> endpoint.s3:443"), partly("service.menu -> endpoint.s3:443"), partly("service.kitchen -> endpoint.s3:443"))},
	{"all protocols at both ends", test, func(r tree) {
		r.set(ingressRule+"endpoints_from_service_till", "ip_protocol", "-1")
		r.set(egressRule+"service_till_to_endpoints", "ip_protocol", "all")
	}, in(each("-service.till -> endpoint.", ":443", interfaces...), each("+service.till -> endpoint.", ":0-65535", interfaces...),
		each("+service.till -> endpoint.", ":udp/0-65535 in part", interfaces...))},
	{"a mixture of instances", test, func(r tree) {
		for _, colour := range []string{"blue", "green"} {
			group := "module.service_till.aws_autoscaling_group.this[\"" + colour + "\"]"
			r.set(group, "mixed_instances_policy", []any{map[string]any{"launch_template": []any{map[string]any{
				"launch_template_specification": []any{map[string]any{"launch_template_id": r.get(template, "id"), "version": "1"}}}}}})
			r.set(group, "launch_template", []any{})
		}
	}, nil},
	{"the older name of load balancers", test, func(r tree) { r.the(internal).Type = "aws_alb" }, nil},
	{"a function in a network", test, func(r tree) {
		r.add("aws_lambda_function", policy.Values{"vpc_config": []any{map[string]any{"subnet_ids": []any{r.get("aws_subnet.private[\"0\"]", "id")},
			"security_group_ids": []any{r.get("aws_security_group.service_menu", "id")}}}})
	}, in("+lambda_function.aws_lambda_function.added -> database.menu:5432", each("+lambda_function.aws_lambda_function.added -> endpoint.", ":443", append([]string{"s3"}, interfaces...)...),
		"+balancer.bistro-test-public -> lambda_function.aws_lambda_function.added:8080", "+balancer.bistro-test-menu-internal -> lambda_function.aws_lambda_function.added:8080")},
	{"another network", test, func(r tree) {
		for _, zone := range []string{"0", "1"} {
			r.set("aws_subnet.data[\""+zone+"\"]", "vpc_id", "vpc-2")
		}
	}, each("-", "", databaseWays...)},
	{"another network, peered", test, func(r tree) {
		peer(r, "private[\"0\"]", "10.10.64.0/18")
		peer(r, "private[\"1\"]", "10.10.64.0/18")
		peer(r, "data", "10.10.128.0/17")
	}, nil},
	{"another network, peered, without a way back", test, func(r tree) {
		peer(r, "private[\"0\"]", "10.10.64.0/18")
		peer(r, "private[\"1\"]", "10.10.64.0/18")
	}, each("-", "", databaseWays...)},
}

const (
	printer      = "service.printer -> network."
	source       = "network.192.168.10.0/24"
	fromSource   = source + " -> database.orders:5432"
	grillPrivate = "aws_route_table.private[\"0\"]"
)

var printerWays = []string{printer + "198.51.100.0/24:443", printer + "203.0.113.128/25:443"}

var outsideChanges = []change{
	{"no NAT in one zone", "grill", func(r tree) { r.drop("aws_route.private_nat[\"2\"]") },
		in(partly(printerWays[0]), partly(printerWays[1]))},
	{"no way out of NAT's subnets", "grill", func(r tree) { r.drop("ipv4[\"public-out-0.0.0.0/0-443\"]") }, each("-", "", printerWays...)},
	{"no way back to NAT", "grill", func(r tree) { r.drop("ipv4[\"public-in-0.0.0.0/0-1024\"]") },
		in(each("-", "", printerWays...), // and what answers the load balancer
			"-balancer.grill-production-public -> service.front:8080", "-internet -> service.front:8080", "-internet.ipv6 -> service.front:8080")},
	{"NAT in a subnet without a way out", "grill", func(r tree) {
		r.set("aws_nat_gateway.this[\"0\"]", "subnet_id", r.get("aws_subnet.private[\"0\"]", "id"))
	}, in(partly(printerWays[0]), partly(printerWays[1]))},
	{"another network", "grill", func(r tree) {
		rewrite(r, egressRule+"service_printer_to_198_51_100_0_24", policy.Values{"cidr_ipv4": "192.0.2.0/24"})
	},
		in("-"+printerWays[0], "+"+printer+"192.0.2.0/24:443")},
	{"everybody", "grill", func(r tree) {
		rewrite(r, egressRule+"service_printer_to_198_51_100_0_24", policy.Values{"cidr_ipv4": "0.0.0.0/0"})
	},
		in("-"+printerWays[0], "+service.printer -> internet:443", "+service.printer -> service.front:8080")}, // as a client
	{"a list of our own", "grill", func(r tree) {
		r.add("aws_ec2_managed_prefix_list", policy.Values{"id": "pl-1", "entry": []any{map[string]any{"cidr": "192.0.2.0/25"}}})
		r.add("aws_ec2_managed_prefix_list_entry", policy.Values{"prefix_list_id": "pl-1", "cidr": "192.0.2.128/25"})
		rewrite(r, egressRule+"service_printer_to_198_51_100_0_24", policy.Values{"prefix_list_id": "pl-1"})
	}, in("-"+printerWays[0], "+"+printer+"192.0.2.0/25:443", "+"+printer+"192.0.2.128/25:443")},
	{"a list of somebody", "grill", func(r tree) {
		rewrite(r, egressRule+"service_printer_to_198_51_100_0_24", policy.Values{"prefix_list_id": "pl-2"})
	},
		in("-"+printerWays[0], "+service.printer -> list.pl-2:443")},

	{"the VPN tells no route", "grill", func(r tree) { r.drop("aws_vpn_gateway_route_propagation") },
		in("-"+source+" -> database.orders:5432", "-"+source+" -> database.sessions:5432", "-database.orders -> "+source+":5432", "-database.sessions -> "+source+":5432")},
	{"the route is another VPN's", "grill", func(r tree) { r.set("aws_vpn_connection_route.source", "vpn_connection_id", "vpn-2") },
		in("-"+source+" -> database.orders:5432", "-"+source+" -> database.sessions:5432", "-database.orders -> "+source+":5432", "-database.sessions -> "+source+":5432")},
	{"the source does not get in", "grill", func(r tree) { r.drop(ingressRule + "database_orders_from_source") }, in("-" + fromSource)},
	{"a wider rule than the source", "grill", func(r tree) {
		rewrite(r, ingressRule+"database_orders_from_source", policy.Values{"cidr_ipv4": "192.168.0.0/16"})
	}, nil},
	{"a narrower rule than the source", "grill", func(r tree) {
		rewrite(r, ingressRule+"database_orders_from_source", policy.Values{"cidr_ipv4": "192.168.10.0/28"})
	}, in("-"+fromSource, "+network.192.168.10.0/28 -> database.orders:5432")},
	{"instances learn the way to the source, and a rule", "grill", func(r tree) {
		r.add("aws_vpn_gateway_route_propagation", policy.Values{"vpn_gateway_id": r.get("aws_vpn_gateway.this", "id"), "route_table_id": r.get(grillPrivate, "id")})
		rewrite(r, egressRule+"service_printer_to_198_51_100_0_24", policy.Values{"cidr_ipv4": "192.168.10.0/24"})
	}, in("-"+printerWays[0], "+service.printer -> "+source+":443 in part")},
	{"a route to the source, not told by the VPN", "grill", func(r tree) {
		r.drop("aws_vpn_gateway_route_propagation")
		r.add("aws_route", policy.Values{"route_table_id": r.get("aws_route_table.data", "id"), "destination_cidr_block": "192.168.0.0/16", "gateway_id": r.get("aws_vpn_gateway.this", "id")})
	}, nil},
	{"routes that the table takes from the VPN", "grill", func(r tree) {
		r.drop("aws_vpn_gateway_route_propagation")
		r.the("aws_route_table.data").Values["propagating_vgws"] = []any{r.get("aws_vpn_gateway.this", "id")}
	}, nil},
	{"out by IPv6", "grill", func(r tree) {
		for zone, cidr := range map[string]string{"0": "2001:db8:1::/64", "1": "2001:db8:2::/64", "2": "2001:db8:3::/64"} {
			r.set("aws_subnet.private[\""+zone+"\"]", "ipv6_cidr_block", cidr)
			r.add("aws_route", policy.Values{"route_table_id": r.get("aws_route_table.private[\""+zone+"\"]", "id"), "destination_ipv6_cidr_block": "::/0",
				"gateway_id": nil, "nat_gateway_id": nil, "egress_only_gateway_id": "eigw-1"})
		}
		rewrite(r, egressRule+"service_printer_to_198_51_100_0_24", policy.Values{"cidr_ipv6": "2001:db8:ffff::/48"})
		for _, egress := range []bool{true, false} {
			r.add("aws_network_acl_rule", policy.Values{"network_acl_id": r.get("aws_network_acl.this[\"private\"]", "id"), "rule_number": 900., "rule_action": "allow",
				"egress": egress, "ipv6_cidr_block": "::/0", "protocol": "tcp", "from_port": 443., "to_port": 65535.})
		}
	}, in("-"+printerWays[0], "+"+printer+"2001:db8:ffff::/48:443")},
	{"everybody to a database", "grill", func(r tree) {
		rewrite(r, ingressRule+"database_orders_from_source", policy.Values{"cidr_ipv4": "0.0.0.0/0"})
	}, nil}, // nobody but the source has a route there
}
