package main

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// inventor makes up what AWS would choose: ids, names, addresses. The same
// configuration in the same world gets the same values.
type inventor struct {
	*server
	kind           string
	planned, prior cty.Value
	base, seed     string
	made           map[string]cty.Value // members that are settled already
}

func (s *server) inventor(kind string, b *block, c change) *inventor {
	raw, err := ctyjson.Marshal(cty.UnknownAsNull(c.config), b.object())
	if err != nil {
		panic("schema: " + err.Error()) // the value was decoded by the same type
	}
	i := &inventor{server: s, kind: kind, planned: c.next, prior: c.prior, base: kind + s.settings.region + string(raw)}
	i.reseed(0)
	return i
}

// reseed gives what is made up another value in another round.
func (i *inventor) reseed(round int) { i.seed = i.base + strings.Repeat("+", round) }

// fill replaces every unknown value.
func (i *inventor) fill() cty.Value {
	members := i.planned.AsValueMap()
	i.made = members
	unknownID := members["id"] != cty.NilVal && !members["id"].IsKnown()
	// Later ones are made of earlier ones: an arn of a name and an id.
	for _, name := range []string{"name", "identifier", "bucket", "id", "arn"} {
		if v, ok := members[name]; ok && !v.IsKnown() {
			members[name] = i.invent(name, v.Type())
		}
	}
	if unknownID && arnIsID(i.kind) {
		members["id"] = members["arn"]
	}
	for name, v := range members {
		members[name] = i.known(name, v)
	}
	return cty.ObjectVal(members)
}

// known replaces unknown values at any depth.
func (i *inventor) known(path string, v cty.Value) cty.Value {
	if v.IsWhollyKnown() {
		return v
	}
	if !v.IsKnown() {
		return i.invent(path, v.Type())
	}
	t := v.Type()
	switch {
	case t.IsObjectType():
		members := v.AsValueMap()
		for name, m := range members {
			members[name] = i.known(path+"."+name, m)
		}
		return cty.ObjectVal(members)
	case t.IsMapType():
		members := v.AsValueMap()
		for name, m := range members {
			members[name] = i.known(path+"."+name, m)
		}
		return cty.MapVal(members)
	}
	var items []cty.Value
	for _, item := range v.AsValueSlice() {
		items = append(items, i.known(path, item))
	}
	if t.IsSetType() {
		return cty.SetVal(items)
	}
	return cty.ListVal(items)
}

// hex is n digits of the resource's own; salt tells several of them apart.
func (i *inventor) hex(n int, salt ...string) string {
	sum := sha256.Sum256([]byte(i.seed + strings.Join(salt, "")))
	return hex.EncodeToString(sum[:])[:n]
}

func (i *inventor) uuid(salt ...string) string {
	h := i.hex(32, append(salt, "uuid")...)
	return h[:8] + "-" + h[8:12] + "-4" + h[13:16] + "-8" + h[17:20] + "-" + h[20:]
}

// text is a member that is settled already; else "".
func (i *inventor) text(name string) string {
	v, ok := i.made[name]
	if !ok || !v.IsKnown() || v.IsNull() || v.Type() != cty.String {
		return ""
	}
	return v.AsString()
}

func (i *inventor) invent(path string, t cty.Type) cty.Value {
	if v := i.special(path, t); v != cty.NilVal {
		return v
	}
	switch {
	case t == cty.String:
		return cty.StringVal(i.string(path[strings.LastIndex(path, ".")+1:], path))
	case t == cty.Number:
		return cty.NumberIntVal(number(path))
	case t == cty.Bool:
		return cty.False
	case t.IsListType():
		return cty.ListValEmpty(t.ElementType())
	case t.IsSetType():
		return cty.SetValEmpty(t.ElementType())
	case t.IsMapType():
		return cty.MapValEmpty(t.ElementType())
	default:
		members := map[string]cty.Value{}
		for name, m := range t.AttributeTypes() {
			members[name] = i.invent(path+"."+name, m)
		}
		return cty.ObjectVal(members)
	}
}

func number(path string) int64 {
	switch path {
	case "latest_version", "default_version", "version", "desired_capacity":
		return 1
	case "port":
		return 5432
	}
	return 0
}
