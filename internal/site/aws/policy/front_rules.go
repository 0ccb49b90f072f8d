package policy

import (
	"net/netip"
	"slices"
	"strings"
)

// rates: who asks too often is refused by his address wherever he comes from.
// Declared gateways alone are not counted so, and are alone believed who their
// clients are.
func rates(w *world) {
	for _, acl := range w.of("aws_wafv2_web_acl") {
		said := map[string]scope{} // by path: what gateways say of their clients
		var counted []scope
		for _, rule := range acl.Values.Blocks("rule") {
			rate := rule.Block("statement").Block("rate_based_statement")
			if rate == nil || !limits(rule) {
				continue
			}
			s := w.scopeOf(acl, rule.Text("name"), rate.Block("scope_down_statement"))
			switch rate.Text("aggregate_key_type") {
			case "FORWARDED_IP":
				w.believed(acl, s)
				said[s.path] = s
			case "IP":
				counted = append(counted, s)
			}
		}
		for _, s := range counted {
			w.leftOut(acl, s, said[s.path])
		}
	}
}

// believed: a rule takes the word of declared gateways, and of nobody else.
func (w *world) believed(acl Resource, s scope) {
	if !s.named {
		w.breaks(acl, "rule "+s.rule+" believes everybody who he says he is", "scope it down to the ip sets of gateways")
	}
	for _, n := range s.from {
		if !slices.Contains(w.Gateways, n) {
			w.breaks(acl, "rule "+s.rule+" believes "+n.String()+", which is no declared gateway", "take it out of the ip set, or declare it")
		}
	}
}

// leftOut: a rule by address leaves out declared gateways, whose clients another
// one counts.
func (w *world) leftOut(acl Resource, s, said scope) {
	for _, n := range s.but {
		if !slices.Contains(w.Gateways, n) {
			w.breaks(acl, "rule "+s.rule+" leaves out "+n.String()+", which is no declared gateway", "take it out of the ip set, or declare it")
		} else if !said.unknown && !slices.Contains(said.from, n) {
			w.breaks(acl, "whoever comes through "+n.String()+" is left out by rule "+s.rule+", and counted by none", "add one with FORWARDED_IP that is scoped down to its ip set")
		}
	}
	for _, n := range w.Gateways {
		if !s.unknown && !slices.Contains(s.but, n) {
			w.breaks(acl, "rule "+s.rule+" takes all clients of gateway "+n.String()+" for one", "leave the gateway out, and count its clients by FORWARDED_IP")
		}
	}
}

// scope is which requests a rate rule counts.
type scope struct {
	rule    string
	path    string         // "" all
	named   bool           // only those from ip sets
	from    []netip.Prefix // which are these
	but     []netip.Prefix // not those from here
	unknown bool           // some networks are not known yet
}

// scopeOf reads what a rate rule is scoped down by: ip sets, all but ip sets, a
// path. Anything else leaves somebody out.
func (w *world) scopeOf(acl Resource, rule string, s Values) scope {
	out := scope{rule: rule}
	for _, part := range conjuncts(s) {
		none, some := part.Block("not_statement").Blocks("statement"), disjuncts(part)
		switch path := part.Block("byte_match_statement"); {
		case path.Text("positional_constraint") == "STARTS_WITH" && path.Block("field_to_match").Has("uri_path"):
			out.path = path.Text("search_string")
		case allSets(none):
			out.but = append(out.but, w.networks(acl, &out, none)...)
		case allSets(some):
			out.named = true
			out.from = append(out.from, w.networks(acl, &out, some)...)
		default:
			w.breaks(acl, "rule "+rule+" leaves requests out for something else than gateways and a path", "scope it down by these alone")
		}
	}
	return out
}

// conjuncts are statements that all have to match.
func conjuncts(s Values) []Values {
	if s == nil {
		return nil
	}
	if all := s.Block("and_statement").Blocks("statement"); len(all) > 0 {
		return all
	}
	return []Values{s}
}

// disjuncts are statements of which one has to match.
func disjuncts(s Values) []Values {
	if all := s.Block("or_statement").Blocks("statement"); len(all) > 0 {
		return all
	}
	return []Values{s}
}

// allSets: there are statements, and each is that an address is in an ip set of
// where requests come from.
func allSets(all []Values) bool {
	return len(all) > 0 && !slices.ContainsFunc(all, func(s Values) bool {
		return !s.Has("ip_set_reference_statement") || len(s.Block("ip_set_reference_statement").Blocks("ip_set_forwarded_ip_config")) > 0
	})
}

// networks are those of ip sets.
func (w *world) networks(acl Resource, s *scope, all []Values) []netip.Prefix {
	var found []netip.Prefix
	for _, one := range all {
		reference := one.Block("ip_set_reference_statement")
		set, ok := w.with("aws_wafv2_ip_set", "arn", reference.Text("arn"))
		switch {
		case reference.Unknown("arn") || ok && set.Values.Unknown("addresses"):
			s.unknown = true
		case !ok && w.lacks("aws_wafv2_ip_set", "arn", reference.Text("arn")):
			w.breaks(acl, "rule "+s.rule+" is scoped by an ip set that is not made here", "name an aws_wafv2_ip_set")
		}
		for _, text := range set.Values.Texts("addresses") {
			if n, err := netip.ParsePrefix(text); err == nil {
				found = append(found, n.Masked())
			}
		}
	}
	return found
}

// names: where an environment's names are not to lead yet, no public record
// but the proofs of certificates is made.
func names(w *world) {
	if !w.NoDNS {
		return
	}
	for _, r := range w.of("aws_route53_record") {
		name := r.Values.Text("name")
		proof := r.Values.Text("type") == "CNAME" && strings.HasPrefix(name, "_")
		if r.Values.Unknown("name") || r.Values.Unknown("zone_id") || proof || w.privateZone(r.Values.Text("zone_id")) {
			continue
		}
		w.breaks(r, "clients of "+name+" would be turned here before their time", "make no record while the landscape says dns = false")
	}
}

// privateZone: only networks ask the zone.
func (w *world) privateZone(id string) bool {
	zone, ok := w.with("aws_route53_zone", "zone_id", id)
	return ok && zone.Values.Has("vpc")
}
