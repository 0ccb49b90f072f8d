package policy_test

import "godwit/internal/site/aws/policy"

// rate is a rule of the firewall, by its name.
func rate(r tree, name string) policy.Values {
	r.t.Helper()
	for _, rule := range r.the("aws_wafv2_web_acl.this").Values.Blocks("rule") {
		if rule.Text("name") == name {
			return rule
		}
	}
	r.t.Fatalf("there is no rule %s", name)
	return nil
}

// counted is what a rate rule counts.
func counted(r tree, name string) policy.Values {
	r.t.Helper()
	return rate(r, name).Block("statement").Block("rate_based_statement")
}

// scoped gives a rate rule another scope.
func scoped(r tree, name string, statement map[string]any) {
	r.t.Helper()
	counted(r, name)["scope_down_statement"] = []any{statement}
}

// statement is one of a kind; a state names the others too.
func statement(kind string, body map[string]any) map[string]any {
	all := map[string]any{kind: []any{body}}
	for _, other := range []string{"and_statement", "byte_match_statement", "geo_match_statement", "ip_set_reference_statement", "not_statement", "or_statement"} {
		if other != kind {
			all[other] = []any{}
		}
	}
	return all
}

// under is that requests begin with something.
func under(text string, field ...string) map[string]any {
	in := map[string]any{"uri_path": []any{}, "single_header": []any{}}
	for _, name := range field {
		in[name] = []any{map[string]any{}}
	}
	return statement("byte_match_statement", map[string]any{"positional_constraint": "STARTS_WITH", "search_string": text, "field_to_match": []any{in}})
}

// of is a statement that holds others.
func of(kind string, all ...any) map[string]any {
	return statement(kind, map[string]any{"statement": all})
}

// set is a statement that an address is in a set.
func set(arn string) map[string]any {
	return statement("ip_set_reference_statement", map[string]any{"arn": arn, "ip_set_forwarded_ip_config": []any{}})
}

const (
	gateways4 = `aws_wafv2_ip_set.gateways["ipv4"]`
	gateways6 = `aws_wafv2_ip_set.gateways["ipv6"]`
)

var frontMutations = []mutation{
	{"a set with somebody else", production, "rate", "rate leaves out 198.51.100.7/32, which is no declared gateway", func(r tree) {
		r.set(gateways4, "addresses", []any{"203.0.113.7/32", "198.51.100.7/32"})
	}},
	{"somebody else is believed", production, "rate", "rule gateways-rate believes 2001:db8::/48, which is no declared gateway", func(r tree) {
		r.set(gateways6, "addresses", []any{"2001:db8::/48"})
	}},
	{"a wider network than the gateway's", production, "rate", "leaves out 203.0.113.0/24", func(r tree) {
		r.set(gateways4, "addresses", []any{"203.0.113.0/24"})
	}},
	{"no set", production, "rate", "rule rate takes all clients of gateway 203.0.113.7/32 for one", func(r tree) {
		r.set(gateways4, "addresses", []any{})
	}},
	{"nobody is left out", production, "rate", "rule rate takes all clients of gateway 203.0.113.7/32 for one", func(r tree) {
		counted(r, "rate")["scope_down_statement"] = []any{}
	}},
	{"what is left out is not counted", production, "rate", "left out by rule rate, and counted by none", func(r tree) {
		rate(r, "gateways-rate").Block("action")["block"] = []any{}
	}},
	{"gateways are counted for another path", production, "rate", "left out by rule rate, and counted by none", func(r tree) {
		scoped(r, "gateways-rate", of("and_statement", set(r.get(gateways4, "arn")), under("/orders", "uri_path")))
	}},
	{"everybody is believed", production, "rate", "rule gateways-rate believes everybody", func(r tree) {
		counted(r, "gateways-rate")["scope_down_statement"] = []any{}
	}},
	{"everybody but gateways is believed", production, "rate", "rule gateways-rate believes everybody", func(r tree) {
		scoped(r, "gateways-rate", of("not_statement", set(r.get(gateways4, "arn"))))
	}},
	{"who says that he is a gateway is left out", production, "rate", "rule rate leaves requests out for something else", func(r tree) {
		scoped(r, "rate", of("not_statement", statement("ip_set_reference_statement", map[string]any{"arn": r.get(gateways4, "arn"),
			"ip_set_forwarded_ip_config": []any{map[string]any{"header_name": "X-Forwarded-For"}}})))
	}},
	{"a country is left out", test, "rate", "rule rate leaves requests out for something else", func(r tree) {
		scoped(r, "rate", of("not_statement", statement("geo_match_statement", map[string]any{"country_codes": []any{"DE"}})))
	}},
	{"a header is left out", test, "rate", "rule rate leaves requests out for something else", func(r tree) {
		scoped(r, "rate", under("Mozilla", "single_header"))
	}},
	{"a set of somebody's where no gateway is declared", test, "rate", "rule rate leaves out 203.0.113.7/32, which is no declared gateway", func(r tree) {
		r.add("aws_wafv2_ip_set", policy.Values{"arn": "set", "addresses": []any{"203.0.113.7/32"}})
		scoped(r, "rate", of("not_statement", set("set")))
	}},
	{"a set from elsewhere", test, "rate", "rule rate is scoped by an ip set that is not made here", func(r tree) {
		scoped(r, "rate", of("not_statement", set("set")))
	}},

	{"an alias", production, "dns", "clients of till.bistro.example would be turned here", func(r tree) { record(r, "till.bistro.example", "A") }},
	{"an alias of IPv6", production, "dns", "clients of till.bistro.example would be turned here", func(r tree) { record(r, "till.bistro.example", "AAAA") }},
	{"another name", production, "dns", "clients of www.bistro.example would be turned here", func(r tree) { record(r, "www.bistro.example", "CNAME") }},
	{"the whole domain", production, "dns", "clients of bistro.example would be turned here", func(r tree) { record(r, "bistro.example", "NS") }},
	{"no proof", production, "dns", "clients of _till.bistro.example would be turned here", func(r tree) { record(r, "_till.bistro.example", "A") }},
}

// record is one of the public zone.
func record(r tree, name, kind string) {
	r.t.Helper()
	r.add("aws_route53_record", policy.Values{"zone_id": r.get(`aws_route53_record.proof["till.bistro.example"]`, "zone_id"), "name": name, "type": kind})
}
