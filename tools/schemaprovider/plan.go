package main

import (
	"slices"

	"github.com/zclconf/go-cty/cty"
)

// plan says what a resource will be, with unknown values for what only applying
// tells, and which changed attributes ask for a new resource instead.
func (s *server) plan(kind string, b *block, c change) (planned cty.Value, replace []string) {
	if c.next.IsNull() {
		return c.next, nil
	}
	members := c.next.AsValueMap()
	for name, a := range b.Attributes {
		if writeOnly(name) {
			members[name] = cty.NullVal(a.typ())
		} else if c.prior.IsNull() && a.computed && members[name].IsNull() {
			members[name] = s.unknown(kind, name, a)
		}
	}
	for name, n := range b.Blocks {
		members[name] = n.unknown(members[name])
	}
	s.planTags(b, members)
	planSpecial(kind, c, members)
	if c.prior.IsNull() {
		return cty.ObjectVal(members), nil
	}
	return planUpdate(kind, b, c, members)
}

func planUpdate(kind string, b *block, c change, members map[string]cty.Value) (cty.Value, []string) {
	if cty.ObjectVal(members).RawEquals(c.prior) {
		return c.prior, nil
	}
	for _, name := range movesWithEveryChange(kind) {
		members[name] = cty.UnknownVal(b.Attributes[name].typ())
	}
	var replace []string
	for name := range members {
		if needsNew(kind, name) && !members[name].RawEquals(c.prior.GetAttr(name)) {
			replace = append(replace, name)
		}
	}
	slices.Sort(replace)
	return cty.ObjectVal(members), replace
}

// unknown is what is planned for what AWS will choose. The region is known: it is
// the provider's.
func (s *server) unknown(kind, name string, a attribute) cty.Value {
	if name == "region" && a.optional && a.typ() == cty.String {
		return cty.StringVal(s.settings.region)
	}
	return cty.UnknownVal(a.typ())
}

// unknown marks what AWS will choose within nested blocks.
func (n nested) unknown(v cty.Value) cty.Value {
	if v.IsNull() || !v.IsKnown() {
		return v
	}
	if n.nesting == "single" {
		return n.block.unknown(v)
	}
	if v.LengthInt() == 0 {
		return v
	}
	var items []cty.Value
	for it := v.ElementIterator(); it.Next(); {
		_, item := it.Element()
		items = append(items, n.block.unknown(item))
	}
	if n.nesting == "set" {
		return cty.SetVal(items)
	}
	return cty.ListVal(items)
}

func (b *block) unknown(v cty.Value) cty.Value {
	if v.IsNull() || !v.IsKnown() {
		return v
	}
	members := v.AsValueMap()
	if members == nil {
		return v
	}
	for name, a := range b.Attributes {
		if writeOnly(name) {
			members[name] = cty.NullVal(a.typ())
		} else if a.computed && members[name].IsNull() {
			members[name] = cty.UnknownVal(a.typ())
		}
	}
	for name, n := range b.Blocks {
		members[name] = n.unknown(members[name])
	}
	return cty.ObjectVal(members)
}

// planTags merges the provider's default tags under the resource's own.
func (s *server) planTags(b *block, members map[string]cty.Value) {
	if _, ok := b.Attributes["tags_all"]; !ok || members["tags"] == cty.NilVal {
		return
	}
	tags := members["tags"]
	if !tags.IsKnown() {
		members["tags_all"] = cty.UnknownVal(cty.Map(cty.String))
		return
	}
	all := map[string]cty.Value{}
	for k, v := range s.settings.defaultTags {
		all[k] = v
	}
	if !tags.IsNull() {
		for k, v := range tags.AsValueMap() {
			all[k] = v
		}
	}
	if len(all) == 0 {
		members["tags_all"] = cty.MapValEmpty(cty.String)
		return
	}
	members["tags_all"] = cty.MapVal(all)
}

// planSpecial is what the provider itself works out at plan time.
func planSpecial(kind string, c change, members map[string]cty.Value) {
	if kind != "aws_acm_certificate" || !c.prior.IsNull() {
		return
	}
	// The domain names are known at once: for_each over the options depends on it.
	names, known := certificateNames(members)
	if !known || members["validation_method"].IsNull() {
		return
	}
	members["subject_alternative_names"] = stringSet(names)
	text := cty.UnknownVal(cty.String)
	var options []cty.Value
	for _, name := range names {
		options = append(options, validationOption(name, text, text, text))
	}
	members["domain_validation_options"] = cty.SetVal(options)
}

func certificateNames(members map[string]cty.Value) (names []string, known bool) {
	domain, more := members["domain_name"], members["subject_alternative_names"]
	if !domain.IsKnown() || domain.IsNull() {
		return nil, false
	}
	names = []string{domain.AsString()}
	if more.IsKnown() && !more.IsNull() {
		for _, v := range more.AsValueSlice() {
			if !v.IsKnown() {
				return nil, false
			}
			names = append(names, v.AsString())
		}
	}
	slices.Sort(names)
	return slices.Compact(names), true
}

func validationOption(domain string, name, kind, value cty.Value) cty.Value {
	return cty.ObjectVal(map[string]cty.Value{
		"domain_name": cty.StringVal(domain), "resource_record_name": name,
		"resource_record_type": kind, "resource_record_value": value,
	})
}

func stringSet(of []string) cty.Value {
	if len(of) == 0 {
		return cty.SetValEmpty(cty.String)
	}
	var values []cty.Value
	for _, s := range of {
		values = append(values, cty.StringVal(s))
	}
	return cty.SetVal(values)
}
