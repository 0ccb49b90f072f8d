package main

import (
	"encoding/json"

	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// fromJSON reads a state. What it lacks is null, or no block; what is not in the
// schema is left out: another schema may have written it, or a test by hand.
func (b *block) fromJSON(raw []byte) (cty.Value, error) {
	var members map[string]any
	if err := json.Unmarshal(raw, &members); err != nil {
		return cty.NilVal, err
	}
	whole, err := json.Marshal(b.complete(members))
	if err != nil {
		return cty.NilVal, err
	}
	return ctyjson.Unmarshal(whole, b.object())
}

func (b *block) complete(members map[string]any) map[string]any {
	out := make(map[string]any, len(b.Attributes)+len(b.Blocks))
	for name := range b.Attributes {
		out[name] = members[name]
	}
	for name, n := range b.Blocks {
		out[name] = n.complete(members[name])
	}
	return out
}

func (n nested) complete(v any) any {
	switch v := v.(type) {
	case map[string]any:
		return n.block.complete(v)
	case []any:
		for i, item := range v {
			if members, ok := item.(map[string]any); ok {
				v[i] = n.block.complete(members)
			}
		}
		return v
	case nil:
		if n.nesting != "single" {
			return []any{}
		}
	}
	return v
}
