package policy

import (
	"encoding/json"
	"slices"
	"strconv"
)

// Values are the attributes of a resource, or of a block in it. As OpenTofu
// writes them: what is not set is nil, what is not known yet is not there.
type Values map[string]any

// Unknown says that a value comes only when the resource is made. Of a block
// that is not there (nil) everything is known: it is not set.
func (v Values) Unknown(name string) bool {
	if v == nil {
		return false
	}
	_, there := v[name]
	return !there
}

// Text is a string, number or boolean as text; "" when there is none.
func (v Values) Text(name string) string {
	switch x := v[name].(type) {
	case string:
		return x
	case bool:
		return strconv.FormatBool(x)
	case float64:
		return strconv.FormatFloat(x, 'f', -1, 64)
	case json.Number:
		return x.String()
	}
	return ""
}

// May says whether a value is one of those, or could be: it is not known yet.
func (v Values) May(name string, wanted ...string) bool {
	return v.Unknown(name) || slices.Contains(wanted, v.Text(name))
}

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

// Texts is a list or set of strings, as far as they are known.
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
	switch x := v[name].(type) {
	case []any:
		all := make([]Values, 0, len(x))
		for _, item := range x {
			if block, ok := item.(map[string]any); ok {
				all = append(all, block)
			}
		}
		return all
	case map[string]any:
		return []Values{x}
	}
	return nil
}

// Has says whether there is a block of a name, or could be.
func (v Values) Has(name string) bool { return v.Unknown(name) || len(v.Blocks(name)) > 0 }

// MayHold says whether a list holds a text, or could: not all of it is known.
func (v Values) MayHold(name, wanted string) bool {
	list, _ := v[name].([]any)
	return v.Unknown(name) || slices.Contains(list, any(wanted)) || slices.Contains(list, nil)
}

// Block is the first of them. It can be asked like any other when there is none:
// nothing is set in it; or, when that is not known, nothing is known of it.
func (v Values) Block(name string) Values {
	if all := v.Blocks(name); len(all) > 0 {
		return all[0]
	}
	if v.Unknown(name) {
		return Values{}
	}
	return nil
}

// Tag is a tag, defaults included.
func (v Values) Tag(name string) string {
	for _, attribute := range []string{"tags_all", "tags"} {
		if s := v.Block(attribute).Text(name); s != "" {
			return s
		}
	}
	for _, tag := range v.Blocks("tag") { // of Auto Scaling groups
		if tag.Text("key") == name {
			return tag.Text("value")
		}
	}
	return ""
}
