package tofu

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	tfjson "github.com/hashicorp/terraform-json"
)

const (
	longestValue = 60
	masked       = "(secret)"
	unknown      = "(known after apply)"
)

// secretive are parts of names whose values are not shown, marked or not.
var secretive = []string{"password", "secret", "token", "private", "key_material", "credential", "preshared", "user_data"}

// fieldsOf are the attributes of a resource that a change alters, by name.
func fieldsOf(c *tfjson.Change, hide secrets) []Field {
	before, _ := c.Before.(map[string]any)
	after, _ := c.After.(map[string]any)
	unknowns, _ := c.AfterUnknown.(map[string]any)
	names := map[string]bool{}
	for _, m := range []map[string]any{before, after, unknowns} {
		for name := range m {
			names[name] = true
		}
	}
	var fields []Field
	for _, name := range sortedKeys(names) {
		pending := holdsTrue(unknowns[name])
		if !pending && reflect.DeepEqual(before[name], after[name]) {
			continue
		}
		if pending && after[name] == nil && before[name] != nil && computed(name) {
			continue
		}
		f := Field{Name: name}
		f.Before = hide.show(name, before[name], marked(c.BeforeSensitive, name))
		f.After = hide.show(name, after[name], marked(c.AfterSensitive, name))
		if pending {
			f.After = unknown
		}
		if f.Before == "" || f.After == "" {
			f.Before, f.After = "", ""
		}
		fields = append(fields, f)
	}
	return fields
}

// computed names are new with every replacement; that they are says nothing.
func computed(name string) bool {
	return name == "id" || name == "arn" || name == "tags_all" || name == "arn_suffix"
}

// marked: a value, or something in it, is marked as sensitive.
func marked(marks any, name string) bool {
	switch m := marks.(type) {
	case bool:
		return m
	case map[string]any:
		return holdsTrue(m[name])
	}
	return false
}

func holdsTrue(v any) bool {
	switch v := v.(type) {
	case bool:
		return v
	case map[string]any:
		for _, inner := range v {
			if holdsTrue(inner) {
				return true
			}
		}
	case []any:
		for _, inner := range v {
			if holdsTrue(inner) {
				return true
			}
		}
	}
	return false
}

// show renders a value, or "" when it is too long to be shown.
func (s secrets) show(name string, v any, secret bool) string {
	if secret {
		return masked
	}
	for _, part := range secretive {
		if strings.Contains(strings.ToLower(name), part) {
			return masked
		}
	}
	var raw, text string
	switch v := v.(type) {
	case nil:
		return "null"
	case string:
		raw, text = v, strconv.Quote(v)
	case bool, float64, json.Number:
		raw = fmt.Sprint(v)
		text = raw
	default: // what is nested may hold anything
		return ""
	}
	if slices.ContainsFunc(s, func(value string) bool { return strings.Contains(raw, value) }) {
		return masked
	}
	if len(text) > longestValue {
		return ""
	}
	return text
}

// secrets are values that are marked somewhere in a plan: a provider may copy
// one into an attribute that bears no mark.
type secrets []string

func secretsOf(p *tfjson.Plan) secrets {
	found := map[string]bool{}
	for _, rc := range slices.Concat(p.ResourceChanges, p.ResourceDrift) {
		if rc.Change != nil {
			collect(found, rc.Change.Before, rc.Change.BeforeSensitive)
			collect(found, rc.Change.After, rc.Change.AfterSensitive)
		}
	}
	for _, c := range p.OutputChanges {
		collect(found, c.Before, c.BeforeSensitive)
		collect(found, c.After, c.AfterSensitive)
	}
	if p.Config != nil && p.Config.RootModule != nil {
		for name, v := range p.Config.RootModule.Variables {
			if given := p.Variables[name]; given != nil && v.Sensitive {
				collect(found, given.Value, true)
			}
		}
	}
	return sortedKeys(found)
}

// shortest secret that is looked for in others: what is shorter is in too many
// of them by chance.
const shortest = 4

// collect gathers the texts in a value that are marked.
func collect(found map[string]bool, value, marks any) {
	switch v := value.(type) {
	case string:
		if all, _ := marks.(bool); all && len(v) >= shortest {
			found[v] = true
		}
	case map[string]any:
		for name, inner := range v {
			if m, ok := marks.(map[string]any); ok {
				collect(found, inner, m[name])
			} else {
				collect(found, inner, marks)
			}
		}
	case []any:
		for i, inner := range v {
			if m, ok := marks.([]any); !ok {
				collect(found, inner, marks)
			} else if i < len(m) {
				collect(found, inner, m[i])
			}
		}
	}
}
