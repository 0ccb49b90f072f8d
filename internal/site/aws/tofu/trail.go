package tofu

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// trail leads to a value in a resource.
type trail []step

// step is a name in a map, or an element of a list.
type step struct {
	name string

	element       bool
	before, after int    // its index; -1: it is not there
	single        bool   // there is no other
	plain         bool   // it is no map and no list
	label         string // what tells it from the others, where something does
}

func (p trail) with(s step) trail { return append(p[:len(p):len(p)], s) }

var identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)

// text is as Terraform writes it. A secret in a name is none of its text.
func (p trail) text(hide secrets) string {
	var b strings.Builder
	for _, s := range p {
		switch {
		case s.element && s.single:
		case s.element && s.label != "":
			fmt.Fprintf(&b, "[%s]", strconv.Quote(s.label))
		case s.element && s.plain:
			b.WriteString("[]")
		case s.element:
			fmt.Fprintf(&b, "[%d]", s.index())
		case hide.in(s.name):
			b.WriteString("[" + masked + "]")
		case !identifier.MatchString(s.name):
			fmt.Fprintf(&b, "[%s]", strconv.Quote(s.name))
		default:
			if b.Len() > 0 {
				b.WriteByte('.')
			}
			b.WriteString(s.name)
		}
	}
	return b.String()
}

// index of an element: the one that it will have, or had when it is gone.
func (s step) index() int {
	if s.after >= 0 {
		return s.after
	}
	return s.before
}

// on says whether a path is the one of the steps, leads to it, or comes from it.
func (p trail) on(steps []any) bool {
	for i := range min(len(p), len(steps)) {
		if !p[i].is(steps[i]) {
			return false
		}
	}
	return true
}

func (s step) is(other any) bool {
	switch other := other.(type) {
	case string:
		return !s.element && s.name == other
	case json.Number:
		i, err := other.Int64()
		return err == nil && s.element && (int(i) == s.before || int(i) == s.after)
	case float64:
		return s.element && (int(other) == s.before || int(other) == s.after)
	}
	return false
}
