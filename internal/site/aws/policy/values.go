package policy

import (
	"encoding/json"
	"fmt"
	"strconv"
)

// Values are the attributes of a resource, or of a block in it.
type Values map[string]any

// Text is a string, number or boolean as text; "" when there is none.
func (v Values) Text(name string) string {
	switch x := v[name].(type) {
	case nil:
		return ""
	case string:
		return x
	case bool:
		return strconv.FormatBool(x)
	case float64:
		return strconv.FormatFloat(x, 'f', -1, 64)
	case json.Number:
		return x.String()
	default:
		return fmt.Sprint(x)
	}
}

// Known says whether there is a value.
func (v Values) Known(name string) bool { return v[name] != nil }

// True says whether it is true, or "true".
func (v Values) True(name string) bool { return v.Text(name) == "true" }

// Int is a number; 0 when there is none.
func (v Values) Int(name string) int {
	f, err := strconv.ParseFloat(v.Text(name), 64)
	if err != nil {
		return 0
	}
	return int(f)
}

// Texts is a list or set of strings.
func (v Values) Texts(name string) []string {
	list, _ := v[name].([]any)
	var all []string
	for _, item := range list {
		if s, ok := item.(string); ok {
			all = append(all, s)
		}
	}
	return all
}

// Blocks are the nested blocks, or objects, of a name.
func (v Values) Blocks(name string) []Values {
	var all []Values
	switch x := v[name].(type) {
	case []any:
		for _, item := range x {
			if block, ok := item.(map[string]any); ok {
				all = append(all, block)
			}
		}
	case map[string]any:
		all = append(all, x)
	}
	return all
}

// Block is the first of them; nil, which can be asked like any other, when
// there is none.
func (v Values) Block(name string) Values {
	if all := v.Blocks(name); len(all) > 0 {
		return all[0]
	}
	return nil
}

// Tag is a tag, defaults included.
func (v Values) Tag(name string) string {
	for _, attribute := range []string{"tags_all", "tags"} {
		if tags, ok := v[attribute].(map[string]any); ok {
			if s, ok := tags[name].(string); ok {
				return s
			}
		}
	}
	for _, tag := range v.Blocks("tag") { // of Auto Scaling groups
		if tag.Text("key") == name {
			return tag.Text("value")
		}
	}
	return ""
}
