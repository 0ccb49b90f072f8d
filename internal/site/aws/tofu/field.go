package tofu

import (
	"encoding/json"
	"slices"
	"strings"

	tfjson "github.com/hashicorp/terraform-json"
)

// Field is one value of a resource that a change alters: a leaf of what is
// nested, an element of a set. Values are as HCL writes them, cut when they are
// long; "" means that there is none: the value is added, or taken away.
type Field struct {
	// Path leads to the value: rule["rate"].statement.rate_based_statement.limit.
	// An element that is the only one has no index; [] is any element of a list of
	// plain values; what follows the name of a JSON document leads into it.
	Path   string `json:"path"`
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
	Note   string `json:"note,omitempty"` // instead of values: what is another about it
	// Forces says that the resource is replaced because of this.
	Forces bool `json:"forces,omitempty"`
}

const (
	masked    = "(sensitive)"
	unknown   = "(known after apply)"
	reordered = "in another order"
	rewritten = "says the same, written otherwise"
)

// fieldsOf are what a change alters, in the order of their paths. configured are
// the names that the configuration gives; nil: nobody knows.
func fieldsOf(c *tfjson.Change, hide secrets, configured map[string]bool) []Field {
	f := finder{hide: hide, forcing: stepsOf(c.ReplacePaths)}
	n := node{c.Before, c.After, c.AfterUnknown, c.BeforeSensitive, c.AfterSensitive}
	for _, name := range n.names() {
		inner := n.field(name)
		given := configured == nil || configured[name] || container(inner.before)
		if inner.pending == true && (computed(name) || !given && (c.Actions.Replace() || !has(inner.before) || inner.before == "")) {
			continue // as an ARN it is new with every replacement: that it is says nothing
		}
		f.find(trail{{name: name}}, inner)
	}
	return slices.DeleteFunc(slices.Clone(f.fields), func(a Field) bool {
		rest, all := strings.CutPrefix(a.Path, "tags_all")
		a.Path = "tags" + rest
		return all && slices.Contains(f.fields, a) // tags_all are tags, and those of all resources
	})
}

// computed names are never given by a configuration.
func computed(name string) bool {
	return slices.Contains([]string{"id", "arn", "tags_all", "arn_suffix", "latest_version"}, name)
}

// stepsOf reads the paths that force a replacement.
func stepsOf(paths []any) [][]any {
	var all [][]any
	for _, p := range paths {
		if steps, ok := p.([]any); ok && len(steps) > 0 {
			all = append(all, steps)
		}
	}
	return all
}

// node is a place in a resource, before and after.
type node struct {
	before, after           any
	pending                 any // true, or in parts, as after is: not known before the apply
	beforeMarks, afterMarks any // true, or in parts: sensitive
}

// names of all that is in either of two maps.
func (n node) names() []string {
	names := map[string]bool{}
	for _, v := range []any{n.before, n.after, n.pending} {
		m, _ := v.(map[string]any)
		for name := range m {
			names[name] = true
		}
	}
	return sortedKeys(names)
}

func (n node) field(name string) node {
	return node{in(n.before, name), in(n.after, name), part(n.pending, name), part(n.beforeMarks, name), part(n.afterMarks, name)}
}

// element i of the list before, j of the one after; -1: there is none.
func (n node) element(i, j int) node {
	return node{at(n.before, i), at(n.after, j), partAt(n.pending, j), partAt(n.beforeMarks, i), partAt(n.afterMarks, j)}
}

// both: it is there before and after.
func (n node) both() bool { return n.before != nil && n.after != nil }

func (n node) secret() bool { return n.beforeMarks == true || n.afterMarks == true }

func in(v any, name string) any {
	m, _ := v.(map[string]any)
	return m[name]
}

func at(v any, i int) any {
	list, _ := v.([]any)
	if i < 0 || i >= len(list) {
		return nil
	}
	return list[i]
}

// part of a mark: what marks the whole marks its parts.
func part(marks any, name string) any {
	if marks == true {
		return true
	}
	return in(marks, name)
}

func partAt(marks any, i int) any {
	if marks == true {
		return i >= 0
	}
	return at(marks, i)
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
		return slices.ContainsFunc(v, holdsTrue)
	}
	return false
}

func container(v any) bool {
	switch v.(type) {
	case map[string]any, []any:
		return true
	}
	return false
}

// has says whether there is a value. A list without elements is how a plan says
// that there is no block.
func has(v any) bool {
	if list, ok := v.([]any); ok {
		return len(list) > 0
	}
	return v != nil
}

// canon writes a value so that two are the same when their texts are. A name
// without a value is as good as none.
func canon(v any) string { return written(v, func(inner any) bool { return inner != nil }) }

func written(v any, keep func(any) bool) string {
	b, err := json.Marshal(pruned(v, keep))
	if err != nil { // nothing that JSON cannot write comes out of JSON
		panic(err)
	}
	return string(b)
}

// pruned is a value without the names in it whose values are not to be kept.
func pruned(v any, keep func(any) bool) any {
	switch v := v.(type) {
	case map[string]any:
		m := map[string]any{}
		for name, inner := range v {
			if keep(inner) {
				m[name] = pruned(inner, keep)
			}
		}
		return m
	case []any:
		list := []any{}
		for _, inner := range v {
			list = append(list, pruned(inner, keep))
		}
		return list
	}
	return v
}

func equal(a, b any) bool { return canon(a) == canon(b) }
