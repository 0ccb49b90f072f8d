package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/zclconf/go-cty/cty"
)

// look answers a data source: what the account is, and otherwise an echo of what
// was asked with made-up values for the rest.
func (s *server) look(kind string, b *block, config cty.Value) (cty.Value, error) {
	i := s.inventor(kind, b, change{prior: cty.NullVal(config.Type()), next: config, config: config})
	members := config.AsValueMap()
	for name, a := range b.Attributes {
		if a.computed && members[name].IsNull() {
			members[name] = s.unknown(kind, name, a)
		}
	}
	for name, n := range b.Blocks {
		members[name] = n.unknown(members[name])
	}
	if err := s.lookSpecial(kind, members); err != nil {
		return cty.NilVal, err
	}
	i.planned = cty.ObjectVal(members)
	return i.fill(), nil
}

func (s *server) lookSpecial(kind string, members map[string]cty.Value) error {
	set := func(name string, v cty.Value) {
		if old, ok := members[name]; ok && (!old.IsKnown() || old.IsNull()) {
			members[name] = v
		}
	}
	region := s.settings.region
	if r, ok := members["region"]; ok && r.IsKnown() && !r.IsNull() {
		region = r.AsString()
	}
	switch kind {
	case "aws_availability_zones":
		names, ids := zones(region)
		set("names", names)
		set("zone_ids", ids)
		set("id", cty.StringVal(region))
	case "aws_caller_identity":
		set("account_id", cty.StringVal(account))
		set("arn", cty.StringVal("arn:aws:sts::"+account+":assumed-role/godwit/session"))
		set("id", cty.StringVal(account))
		set("user_id", cty.StringVal("AROAGODWIT:session"))
	case "aws_region":
		set("name", cty.StringVal(region))
		set("id", cty.StringVal(region))
		set("endpoint", cty.StringVal("ec2."+region+".amazonaws.com"))
		set("description", cty.StringVal(region))
	case "aws_partition":
		set("partition", cty.StringVal("aws"))
		set("id", cty.StringVal("aws"))
		set("dns_suffix", cty.StringVal("amazonaws.com"))
		set("reverse_dns_prefix", cty.StringVal("com.amazonaws"))
	case "aws_ssm_parameter":
		set("value", cty.StringVal("ami-"+short(members["name"], 17)))
		set("insecure_value", members["value"])
		set("type", cty.StringVal("String"))
	case "aws_ami":
		set("id", cty.StringVal("ami-"+short(cty.StringVal(fmt.Sprintf("%#v", members["filter"])), 17)))
		set("image_id", members["id"])
	case "aws_elb_service_account":
		set("arn", cty.StringVal("arn:aws:iam::054676820928:root"))
		set("id", cty.StringVal("054676820928"))
	case "aws_iam_policy_document":
		return policyDocument(members)
	}
	return nil
}

func zones(region string) (names, ids cty.Value) {
	var n, i []cty.Value
	parts := strings.Split(region, "-")
	code := region
	if len(parts) == 3 {
		code = parts[0][:min(2, len(parts[0]))] + parts[1][:1] + parts[2]
	}
	for k, letter := range []string{"a", "b", "c"} {
		n = append(n, cty.StringVal(region+letter))
		i = append(i, cty.StringVal(fmt.Sprintf("%s-az%d", code, k+1)))
	}
	return cty.ListVal(n), cty.ListVal(i)
}

func short(of cty.Value, n int) string {
	i := inventor{seed: fmt.Sprintf("%#v", of)}
	return i.hex(n)
}

// policyDocument writes the JSON that the real data source writes.
func policyDocument(members map[string]cty.Value) error {
	doc := map[string]any{"Version": "2012-10-17"}
	if v := members["version"]; v.IsKnown() && !v.IsNull() {
		doc["Version"] = v.AsString()
	}
	if v := members["policy_id"]; v.IsKnown() && !v.IsNull() && v.AsString() != "" {
		doc["Id"] = v.AsString()
	}
	statements, err := merged(members["source_policy_documents"], nil)
	if err != nil {
		return err
	}
	for _, v := range members["statement"].AsValueSlice() {
		statements = append(statements, statement(v))
	}
	statements, err = merged(members["override_policy_documents"], statements)
	if err != nil {
		return err
	}
	doc["Statement"] = statements
	raw, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return err
	}
	small, err := json.Marshal(doc)
	members["json"], members["minified_json"] = cty.StringVal(string(raw)), cty.StringVal(string(small))
	members["id"] = cty.StringVal(short(members["json"], 10))
	return err
}

// merged adds the statements of other documents; the same sid replaces.
func merged(documents cty.Value, statements []any) ([]any, error) {
	if documents.IsNull() || !documents.IsKnown() {
		return statements, nil
	}
	for _, d := range documents.AsValueSlice() {
		var doc struct{ Statement []map[string]any }
		if err := json.Unmarshal([]byte(d.AsString()), &doc); err != nil {
			return nil, fmt.Errorf("a policy document to merge: %w", err)
		}
		for _, st := range doc.Statement {
			sid, _ := st["Sid"].(string)
			statements = slices.DeleteFunc(statements, func(o any) bool {
				old, _ := o.(map[string]any)
				return sid != "" && old["Sid"] == sid
			})
			statements = append(statements, st)
		}
	}
	return statements, nil
}

func statement(v cty.Value) map[string]any {
	out := map[string]any{"Effect": "Allow"}
	for from, to := range map[string]string{"sid": "Sid", "effect": "Effect"} {
		if s := text(v, from); s != "" {
			out[to] = s
		}
	}
	for from, to := range map[string]string{
		"actions": "Action", "not_actions": "NotAction", "resources": "Resource", "not_resources": "NotResource",
	} {
		if list := texts(v.GetAttr(from)); len(list) > 0 {
			out[to] = oneOrMany(falling(list))
		}
	}
	for from, to := range map[string]string{"principals": "Principal", "not_principals": "NotPrincipal"} {
		if p := principals(v.GetAttr(from)); p != nil {
			out[to] = p
		}
	}
	conditions := map[string]map[string]any{}
	for _, c := range v.GetAttr("condition").AsValueSlice() {
		test := text(c, "test")
		if conditions[test] == nil {
			conditions[test] = map[string]any{}
		}
		conditions[test][text(c, "variable")] = oneOrMany(texts(c.GetAttr("values")))
	}
	if len(conditions) > 0 {
		out["Condition"] = conditions
	}
	return out
}

func principals(of cty.Value) any {
	all := map[string][]string{}
	for _, p := range of.AsValueSlice() {
		kind := text(p, "type")
		all[kind] = append(all[kind], texts(p.GetAttr("identifiers"))...)
	}
	if len(all) == 0 {
		return nil
	}
	if slices.Equal(all["*"], []string{"*"}) {
		return "*"
	}
	out := map[string]any{}
	for kind, ids := range all {
		out[kind] = oneOrMany(falling(ids))
	}
	return out
}

// falling is the order in which the real one writes what is a set.
func falling(list []string) []string {
	slices.SortFunc(list, func(a, b string) int { return strings.Compare(b, a) })
	return list
}

func texts(v cty.Value) []string {
	if v.IsNull() || !v.IsKnown() {
		return nil
	}
	var all []string
	for _, s := range v.AsValueSlice() {
		if s.IsKnown() && !s.IsNull() {
			all = append(all, s.AsString())
		}
	}
	return all
}

func oneOrMany(list []string) any {
	if len(list) == 1 {
		return list[0]
	}
	return list
}
