package policy_test

import (
	"slices"
	"strings"
	"testing"

	"godwit/internal/landscape"
	"godwit/internal/site/aws/policy"
)

// mutation is one thing made wrong in what OpenTofu made.
type mutation struct {
	name string
	root string // of the bistro, or of the grill
	rule string // the one that has to complain, and no other
	says string // of what
	make func(r tree)
}

// TestEveryRuleIsNeeded: whatever is made wrong is told by the rule that is for
// it, and by none besides. So no rule is there that cannot fail, nor one that
// hides behind another.
func TestEveryRuleIsNeeded(t *testing.T) {
	t.Parallel()
	worlds := map[string]*landscape.Landscape{
		"environments/test": bistro(t), "environments/production": bistro(t), "account": bistro(t), "grill": parse(t, grill)}
	all := slices.Concat(networkMutations, serviceMutations, databaseMutations, storageMutations, iamMutations, frontMutations)
	killed := map[string]bool{}
	for _, m := range all {
		killed[m.rule] = true
	}
	for _, name := range policy.Rules() {
		if !killed[name] {
			t.Errorf("no mutation is for rule %s", name)
		}
	}
	for _, m := range all {
		t.Run(m.rule+"/"+m.name, func(t *testing.T) {
			t.Parallel()
			root, l := m.root, worlds[m.root]
			if root == "grill" {
				root = "environments/production"
			}
			r := made(t, l, root)
			m.make(r)
			found := policy.Check(*r.all, expected(l, root))
			if !slices.ContainsFunc(found, func(v policy.Violation) bool { return strings.Contains(v.String(), m.says) }) {
				t.Errorf("nobody says %q", m.says)
			}
			for _, v := range found {
				if v.Rule != m.rule || v.Why == "" || v.Mend == "" || v.Address == "" {
					t.Errorf("told by another: %s", v)
				}
			}
		})
	}
}

// Often used: short names of roots and resources of the bistro.
const (
	test, production, account = "environments/test", "environments/production", "account"

	ingressRule = "aws_vpc_security_group_ingress_rule."
	egressRule  = "aws_vpc_security_group_egress_rule."
	balancer    = "module.ingress.aws_lb.this"
	internal    = "module.internal_menu.aws_lb.this"
	till        = "module.service_till.aws_autoscaling_group.this[\"blue\"]"
	template    = "module.service_till.aws_launch_template.this"
	till5432    = "module.database_till.aws_db_instance.this"
)

// rewrite gives a rule of a security group another peer and other ports.
func rewrite(r tree, address string, change policy.Values) {
	values := r.the(address).Values
	for _, name := range []string{"referenced_security_group_id", "cidr_ipv4", "cidr_ipv6", "prefix_list_id"} {
		values[name] = nil
	}
	for name, value := range change {
		values[name] = value
	}
}

var networkMutations = []mutation{
	{"everybody to instances", test, "open-ingress", "open to 0.0.0.0/0 on tcp 8080", func(r tree) {
		rewrite(r, ingressRule+"service_till_from_public", policy.Values{"cidr_ipv4": "0.0.0.0/0"})
	}},
	{"everybody by IPv6 to instances", test, "open-ingress", "open to ::/0", func(r tree) {
		rewrite(r, ingressRule+"service_till_from_public", policy.Values{"cidr_ipv6": "::/0"})
	}},
	{"half of everybody", test, "open-ingress", "open to 128.0.0.0/1", func(r tree) {
		rewrite(r, ingressRule+"service_till_from_public", policy.Values{"cidr_ipv4": "128.0.0.0/1"})
	}},
	{"the network itself instead of a group", test, "open-ingress", "open to 10.10.0.0/16", func(r tree) {
		rewrite(r, ingressRule+"database_till_from_service_till", policy.Values{"cidr_ipv4": "10.10.0.0/16"})
	}},
	{"another port of the public load balancer", test, "open-ingress", "on tcp 8443", func(r tree) {
		rewrite(r, ingressRule+"public_from_clients_https", policy.Values{"cidr_ipv4": "0.0.0.0/0", "from_port": 8443., "to_port": 8443.})
	}},
	{"a range of ports with 443 in it", test, "open-ingress", "on tcp 443-444", func(r tree) {
		r.set(ingressRule+"public_from_clients_https", "to_port", 444.)
	}},
	{"443 of UDP", test, "open-ingress", "on udp 443", func(r tree) {
		r.set(ingressRule+"public_from_clients_https", "ip_protocol", "udp")
	}},
	{"the public group on an internal load balancer", test, "open-ingress", "open to 0.0.0.0/0 on tcp 443", func(r tree) {
		r.set(internal, "security_groups", []any{r.get("aws_security_group.public", "id")})
	}},
	{"the public group on instances", test, "open-ingress", "open to 0.0.0.0/0 on tcp 443", func(r tree) {
		r.set(template, "vpc_security_group_ids", []any{r.get("aws_security_group.public", "id")})
	}},
	{"a list of networks", test, "open-ingress", "networks of pl-1", func(r tree) {
		rewrite(r, ingressRule+"service_till_from_public", policy.Values{"prefix_list_id": "pl-1"})
	}},
	{"a rule in the group", test, "open-ingress", "aws_security_group.database_till: it is open to 0.0.0.0/0 on tcp 5432", func(r tree) {
		r.the("aws_security_group.database_till").Values["ingress"] = []any{map[string]any{
			"protocol": "tcp", "from_port": 5432., "to_port": 5432., "cidr_blocks": []any{"0.0.0.0/0"}}}
	}},
	{"a rule in the older way", test, "open-ingress", "aws_security_group_rule.added: it is open to ::/0 on tcp 5432", func(r tree) {
		r.add("aws_security_group_rule", policy.Values{"type": "ingress", "security_group_id": r.get("aws_security_group.database_till", "id"),
			"protocol": "tcp", "from_port": 5432., "to_port": 5432., "ipv6_cidr_blocks": []any{"::/0"}})
	}},
	{"a rule in the default group", test, "open-ingress", "the default group lets something through", func(r tree) {
		r.the("aws_default_security_group.closed").Values["egress"] = []any{map[string]any{
			"protocol": "tcp", "from_port": 443., "to_port": 443., "cidr_blocks": []any{"203.0.113.0/24"}}}
	}},
	{"the source on another port", "grill", "open-ingress", "192.168.10.0/24 on tcp 5433", func(r tree) {
		r.set(ingressRule+"database_orders_from_source", "to_port", 5433.)
		r.set(ingressRule+"database_orders_from_source", "from_port", 5433.)
	}},
	{"the source to instances", "grill", "open-ingress", "192.168.10.0/24 on tcp 9000", func(r tree) {
		rewrite(r, ingressRule+"service_orders_from_internal_orders", policy.Values{"cidr_ipv4": "192.168.10.0/24"})
	}},

	{"everywhere", test, "open-egress", "may reach 0.0.0.0/0", func(r tree) {
		rewrite(r, egressRule+"service_till_to_s3", policy.Values{"cidr_ipv4": "0.0.0.0/0"})
	}},
	{"everywhere by IPv6", test, "open-egress", "may reach 2000::/3", func(r tree) {
		rewrite(r, egressRule+"service_till_to_s3", policy.Values{"cidr_ipv6": "2000::/3"})
	}},
	{"a network on another port", test, "open-egress", "may reach 203.0.113.0/24 on tcp 25", func(r tree) {
		rewrite(r, egressRule+"service_till_to_s3", policy.Values{"cidr_ipv4": "203.0.113.0/24", "from_port": 25., "to_port": 25.})
	}},
	{"any protocol", test, "open-egress", "any protocol", func(r tree) {
		values := r.the(egressRule + "service_till_to_endpoints").Values
		values["ip_protocol"], values["from_port"], values["to_port"] = "-1", nil, nil
	}},
	{"any protocol in the group", test, "open-egress", "aws_security_group.service_till: it may speak any protocol", func(r tree) {
		r.the("aws_security_group.service_till").Values["egress"] = []any{map[string]any{
			"protocol": "-1", "from_port": 0., "to_port": 0., "security_groups": []any{"sg-1"}}}
	}},
	{"somebody's list", test, "open-egress", "networks of pl-1, which is no gateway's", func(r tree) {
		r.set(egressRule+"service_till_to_s3", "prefix_list_id", "pl-1")
	}},
	{"a gateway on another port", test, "open-egress", "on tcp 443-8443", func(r tree) {
		r.set(egressRule+"service_till_to_s3", "to_port", 8443.)
	}},
	{"everywhere by a list of our own", test, "open-egress", "may reach 0.0.0.0/0", func(r tree) {
		r.add("aws_ec2_managed_prefix_list", policy.Values{"id": "pl-1", "entry": []any{map[string]any{"cidr": "0.0.0.0/0"}}})
		r.set(egressRule+"service_till_to_s3", "prefix_list_id", "pl-1")
	}},
	{"the source from instances", "grill", "open-egress", "may reach 192.168.10.0/24 on tcp 5432", func(r tree) {
		rewrite(r, egressRule+"service_orders_to_database_orders", policy.Values{"cidr_ipv4": "192.168.10.0/24"})
	}},

	{"peering", test, "peering", "connects networks", func(r tree) { r.add("aws_vpc_peering_connection", policy.Values{}) }},
	{"transit gateway", test, "peering", "connects networks", func(r tree) { r.add("aws_ec2_transit_gateway_vpc_attachment", policy.Values{}) }},
	{"shared with another account", test, "peering", "connects networks", func(r tree) { r.add("aws_ram_resource_share", policy.Values{}) }},
	{"a route into another network", test, "peering", "leads into another network", func(r tree) {
		r.add("aws_route", policy.Values{"route_table_id": r.get("aws_route_table.public", "id"), "destination_cidr_block": "10.20.0.0/16",
			"gateway_id": nil, "nat_gateway_id": nil, "egress_only_gateway_id": nil, "vpc_peering_connection_id": "pcx-1"})
	}},

	{"an internet gateway", test, "data-route", "leads out of the subnets of databases", func(r tree) {
		r.set("aws_route.public_ipv4", "route_table_id", r.get("aws_route_table.data", "id"))
	}},
	{"NAT", "grill", "data-route", "leads out of the subnets of databases", func(r tree) {
		r.set("aws_route.private_nat[\"0\"]", "route_table_id", r.get("aws_route_table.data", "id"))
	}},
	{"a route in the table", test, "data-route", "aws_route_table.data: it leads out", func(r tree) {
		r.the("aws_route_table.data").Values["route"] = []any{map[string]any{"cidr_block": "0.0.0.0/0", "gateway_id": "igw-1"}}
	}},
	{"a machine that forwards", test, "data-route", "leads out of the subnets of databases", func(r tree) {
		r.the("aws_route_table.data").Values["route"] = []any{map[string]any{"cidr_block": "0.0.0.0/0", "gateway_id": "", "nat_gateway_id": "",
			"egress_only_gateway_id": "", "vpc_peering_connection_id": "", "transit_gateway_id": "", "core_network_arn": "", "vpc_endpoint_id": "",
			"carrier_gateway_id": "", "local_gateway_id": "", "network_interface_id": "eni-1"}}
	}},
	{"the main table", test, "data-route", "aws_route.public_ipv4: it leads out", func(r tree) {
		r.drop("aws_route_table_association.data[\"1\"]")
		r.set("aws_vpc.this", "main_route_table_id", r.get("aws_route_table.public", "id"))
	}},
	{"public addresses", test, "data-route", "gets a public address", func(r tree) {
		r.set("aws_subnet.private[\"0\"]", "map_public_ip_on_launch", true)
	}},
	{"public addresses of IPv6", test, "data-route", "gets a public address", func(r tree) {
		r.set("aws_subnet.public[\"0\"]", "assign_ipv6_address_on_creation", true)
	}},

	{"none", test, "flow-log", "has no flow log", func(r tree) { r.drop("aws_flow_log.this") }},
	{"only what is refused", test, "flow-log", "does not log all", func(r tree) { r.set("aws_flow_log.this", "traffic_type", "REJECT") }},
}

var serviceMutations = []mutation{
	{"version 1", test, "imds", "IMDSv1", func(r tree) { r.set(template, "metadata_options/http_tokens", "optional") }},
	{"nothing said", test, "imds", "IMDSv1", func(r tree) { r.set(template, "metadata_options", []any{}) }},
	{"two hops", test, "imds", "over 2 hops", func(r tree) { r.set(template, "metadata_options/http_put_response_hop_limit", 2.) }},
	{"of whatever is started", account, "imds", "nobody said anything", func(r tree) {
		r.set("aws_ec2_instance_metadata_defaults.this", "http_tokens", "optional")
	}},

	{"a key", test, "ssh", "SSH key", func(r tree) { r.set(template, "key_name", "mine") }},
	{"a key pair", test, "ssh", "SSH key", func(r tree) { r.add("aws_key_pair", policy.Values{}) }},
	{"the port", test, "ssh", "port 22 is open", func(r tree) {
		r.set(ingressRule+"service_till_from_public", "from_port", 22.)
		r.set(ingressRule+"service_till_from_public", "to_port", 22.)
	}},
	{"the port within a range", test, "ssh", "port 22 is open", func(r tree) { r.set(ingressRule+"service_till_from_public", "from_port", 0.) }},
	{"the port within all", test, "ssh", "port 22 is open", func(r tree) {
		values := r.the(ingressRule + "service_till_from_public").Values
		values["ip_protocol"], values["from_port"], values["to_port"] = "-1", nil, nil
	}},

	{"latest", test, "pinned-version", "starts version $Latest", func(r tree) { r.set(till, "launch_template/version", "$Latest") }},
	{"default", test, "pinned-version", "starts version $Default", func(r tree) { r.set(till, "launch_template/version", nil) }},
	{"latest of a mixture", test, "pinned-version", "starts version $Latest", func(r tree) {
		r.set(till, "mixed_instances_policy", []any{map[string]any{"launch_template": []any{map[string]any{"override": []any{},
			"launch_template_specification": []any{map[string]any{"version": "$Latest"}}}}}})
	}},
	{"launch configuration", test, "pinned-version", "no versions", func(r tree) { r.set(till, "launch_configuration", "old") }},

	{"two groups", test, "target-group", "as well", func(r tree) {
		r.set(till, "target_group_arns", []any{r.get("module.service_till.aws_lb_target_group.this[\"public-green\"]", "arn")})
	}},
	{"a source of traffic", test, "target-group", "as well", func(r tree) {
		r.set(till, "traffic_source", []any{map[string]any{"identifier": r.get("module.service_till.aws_lb_target_group.this[\"public-green\"]", "arn")}})
	}},
	{"an attachment", test, "target-group", "attached by " + till + " already", func(r tree) {
		r.add("aws_autoscaling_attachment", policy.Values{"autoscaling_group_name": r.get(till, "name"),
			"lb_target_group_arn": r.get("module.service_till.aws_lb_target_group.this[\"public-blue\"]", "arn")})
	}},
	{"an attachment of traffic", test, "target-group", "attached by " + till + " already", func(r tree) {
		r.add("aws_autoscaling_traffic_source_attachment", policy.Values{"autoscaling_group_name": r.get(till, "name"),
			"traffic_source": []any{map[string]any{"identifier": r.get("module.service_till.aws_lb_target_group.this[\"public-blue\"]", "arn")}}})
	}},
	{"an instance", test, "target-group", "attached by " + till + " already", func(r tree) {
		r.add("aws_lb_target_group_attachment", policy.Values{"target_id": "i-1",
			"target_group_arn": r.get("module.service_till.aws_lb_target_group.this[\"public-blue\"]", "arn")})
	}},
	{"two load balancers", test, "target-group", "two load balancers", func(r tree) {
		arn := r.get("module.service_menu.aws_lb_target_group.this[\"public-blue\"]", "arn")
		r.set("aws_lb_listener_rule.all[\"internal\"]", "action/forward/target_group", []any{map[string]any{"arn": arn}})
	}},

	{"old versions", test, "tls", "speaks ELBSecurityPolicy-2016-08", func(r tree) {
		r.set("aws_lb_listener.https", "ssl_policy", "ELBSecurityPolicy-2016-08")
	}},
	{"TLS 1.0 beside 1.3", test, "tls", "TLS13-1-0", func(r tree) {
		r.set("aws_lb_listener.https", "ssl_policy", "ELBSecurityPolicy-TLS13-1-0-2021-06")
	}},
	{"no forward secrecy", test, "tls", "Ext1", func(r tree) {
		r.set("aws_lb_listener.https", "ssl_policy", "ELBSecurityPolicy-TLS13-1-2-Ext1-2021-06")
	}},
	{"the default", test, "tls", "the default policy", func(r tree) { r.set("aws_lb_listener.https", "ssl_policy", nil) }},
	{"none on 443", test, "tls", "aws_lb_listener.https: it answers without TLS", func(r tree) { r.set("aws_lb_listener.https", "protocol", "HTTP") }},
	{"bare TCP", test, "tls", "aws_lb_listener.http: it answers without TLS", func(r tree) { r.set("aws_lb_listener.http", "protocol", "TCP") }},
	{"an answer on 80", test, "tls", "aws_lb_listener.http: it answers", func(r tree) { r.set("aws_lb_listener.http", "default_action/type", "fixed-response") }},
	{"redirected to 80", test, "tls", "aws_lb_listener.http: it answers", func(r tree) {
		r.set("aws_lb_listener.http", "default_action/redirect/protocol", "HTTP")
	}},
	{"a rule on 80", test, "tls", "aws_lb_listener.http: it answers", func(r tree) {
		r.set("aws_lb_listener_rule.host[\"test.till.bistro.example\"]", "listener_arn", r.get("aws_lb_listener.http", "arn"))
	}},
	{"the internal one turned out", test, "tls", "module.internal_menu.aws_lb_listener.this: it answers without TLS", func(r tree) {
		r.set(internal, "internal", false)
		r.the(internal).Values["access_logs"] = r.the(balancer).Values["access_logs"]
		r.add("aws_wafv2_web_acl_association", policy.Values{"resource_arn": r.get(internal, "arn"), "web_acl_arn": r.get("aws_wafv2_web_acl.this", "arn")})
	}},
	{"malformed headers", test, "tls", "malformed headers", func(r tree) { r.set(internal, "drop_invalid_header_fields", false) }},
	{"no access log", test, "tls", "no access log", func(r tree) { r.set(balancer, "access_logs/enabled", false) }},
	{"no block of access logs", test, "tls", "no access log", func(r tree) { r.set(balancer, "access_logs", []any{}) }},

	{"none", test, "shield", "no shield stands before it", func(r tree) { r.drop("aws_wafv2_web_acl_association") }},
	{"not when it fails", test, "shield", "lets everybody in", func(r tree) { r.set(balancer, "enable_waf_fail_open", true) }},
	{"no rate", test, "shield", "limits no rate", func(r tree) { r.set("aws_wafv2_web_acl.this", "rule/statement/rate_based_statement", []any{}) }},
	{"only counted", test, "shield", "limits no rate", func(r tree) { r.set("aws_wafv2_web_acl.this", "rule/action/block", []any{}) }},
}

var databaseMutations = []mutation{
	{"public", test, "database", "public address", func(r tree) { r.set(till5432, "publicly_accessible", true) }},
	{"one zone", test, "database", "in one zone", func(r tree) { r.set(till5432, "multi_az", false) }},
	{"backups of six days", test, "database", "kept for 6 days", func(r tree) { r.set(till5432, "backup_retention_period", 6.) }},
	{"can be deleted", production, "database", "can be deleted", func(r tree) { r.set(till5432, "deletion_protection", false) }},
	{"no last snapshot", production, "database", "without a last snapshot", func(r tree) { r.set(till5432, "skip_final_snapshot", true) }},
	{"no parameters", test, "database", "those of RDS", func(r tree) { r.set(till5432, "parameter_group_name", "default.postgres17") }},
	{"no replication", test, "database", "no logical replication", func(r tree) { parameter(r, "rds.logical_replication", "0") }},
	{"no TLS", test, "database", "without TLS", func(r tree) { parameter(r, "rds.force_ssl", "0") }},

	{"a password of ours", test, "secret", "its password is in", func(r tree) { r.set(till5432, "password", "hunter2") }},
	{"nobody's password", test, "secret", "has to know its password", func(r tree) { r.set(till5432, "manage_master_user_password", nil) }},
	{"a version of a secret", test, "secret", "its secret_string is in", func(r tree) {
		r.add("aws_secretsmanager_secret_version", policy.Values{"secret_string": "hunter2"})
	}},
	{"a parameter", test, "secret", "its value is in", func(r tree) {
		r.add("aws_ssm_parameter", policy.Values{"type": "SecureString", "value": "hunter2"})
	}},
	{"a password by chance", test, "secret", "its result is in", func(r tree) { r.add("random_password", policy.Values{"result": "hunter2"}) }},
	{"keys of tunnels", "grill", "secret", "keys of its tunnels", func(r tree) { r.set("aws_vpn_connection.this", "preshared_key_storage", "Standard") }},
}

// parameter gives the database till's parameter another value.
func parameter(r tree, name, value string) {
	for _, p := range r.the("module.database_till.aws_db_parameter_group.this").Values.Blocks("parameter") {
		if p["name"] == name {
			p["value"] = value
			return
		}
	}
	r.t.Fatalf("there is no parameter %s", name)
}
