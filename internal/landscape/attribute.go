package landscape

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// The getters below read an attribute of a block; when it is missing, or of
// another type (a finding), they return what stands for it.

func (b *body) expr(name string) (hclsyntax.Expression, place, bool) {
	a := b.Attributes[name]
	if a == nil {
		return nil, b.at, false
	}
	return a.Expr, b.src.at(a.Expr.Range().Start), true
}

// must is a finding that an attribute is no what.
func (b *body) must(at place, name, what string) {
	b.add(at, Error, fmt.Sprintf("%s of %s must be %s", name, b.title, what),
		fmt.Sprintf("write for instance %s = %s", name, b.shape.attrs[name].example))
}

func (b *body) text(name, standard string) (string, place) {
	e, at, ok := b.expr(name)
	if !ok {
		return standard, at
	}
	s, ok := asText(e)
	switch {
	case !ok:
		b.must(at, name, "a string without references")
		return standard, at
	case strings.TrimSpace(s) == "":
		b.must(at, name, "a string that is not empty")
		return standard, at
	}
	return s, at
}

func (b *body) number(name string, standard, least, most int) (int, place) {
	e, at, ok := b.expr(name)
	if !ok {
		return standard, at
	}
	n, ok := asNumber(e)
	if !ok || n < least || n > most {
		b.must(at, name, fmt.Sprintf("a whole number from %d to %d", least, most))
		return standard, at
	}
	return n, at
}

func (b *body) boolean(name string) bool {
	e, at, ok := b.expr(name)
	if !ok {
		return false
	}
	v, ok := asBool(e)
	if !ok {
		b.must(at, name, "true or false")
	}
	return v
}

func (b *body) duration(name string, standard, most time.Duration) time.Duration {
	e, at, ok := b.expr(name)
	if !ok {
		return standard
	}
	d, ok := asDuration(e)
	if !ok || d > most {
		b.must(at, name, fmt.Sprintf("a duration above 0s and at most %s", most))
		return standard
	}
	return d
}

// sizes as Postgres writes them: with units of 1024.
var sizes = regexp.MustCompile(`^([1-9][0-9]{0,5}) ?(MB|GB|TB)$`)

// size reads a number of bytes, from 64MB to 1,024TB.
func (b *body) size(name string, standard int64) int64 {
	const least, most = 64 << 20, 1 << 50
	text, at := b.text(name, "")
	if text == "" {
		return standard
	}
	if parts := sizes.FindStringSubmatch(text); parts != nil {
		n, _ := strconv.ParseInt(parts[1], 10, 64) // digits only
		if n *= map[string]int64{"MB": 1 << 20, "GB": 1 << 30, "TB": 1 << 40}[parts[2]]; n >= least && n <= most {
			return n
		}
	}
	b.must(at, name, "a size of at least 64MB and at most 1024TB")
	return standard
}

// action is what a template puts something in place of: {{rand 1 40}}.
var action = regexp.MustCompile(`{{[^{}]*}}`)

// path reads the path of a URL, which may be a template.
func (b *body) path(name, standard string) string {
	s, at := b.text(name, standard)
	if s != "" && (!strings.HasPrefix(s, "/") || strings.ContainsAny(action.ReplaceAllString(s, ""), " \t\r\n")) {
		b.must(at, name, "a path that begins with / and has no white space")
	}
	return s
}

// ref reads a reference to one of the kinds and notes it for checking. It
// returns the name.
func (b *body) ref(name string, kinds ...string) string {
	e, at, ok := b.expr(name)
	if !ok {
		return ""
	}
	ref, ok := b.asRefOf(e, kinds)
	if !ok {
		b.must(at, name, "a reference to "+orList(kinds))
		return ""
	}
	b.uses = append(b.uses, use{ref, at})
	return ref.Name
}

func (b *body) asRefOf(e hclsyntax.Expression, kinds []string) (Ref, bool) {
	ref, ok := asRef(e)
	return ref, ok && slices.Contains(kinds, ref.Kind)
}

func orList(kinds []string) string {
	s := "a " + strings.Join(kinds, " or a ")
	return strings.NewReplacer("a environment", "an environment", "a ingress", "an ingress").Replace(s)
}

// texts reads a list of strings with at least one element.
func (b *body) texts(name string) []string {
	e, at, ok := b.expr(name)
	if !ok {
		return nil
	}
	list, ok := asList(e)
	if !ok || len(list) == 0 {
		b.must(at, name, "a list of strings that is not empty")
		return nil
	}
	var all []string
	for _, item := range list {
		s, ok := asText(item)
		if !ok {
			b.must(b.src.at(item.Range().Start), name, "a list of strings without references")
			continue
		}
		all = append(all, s)
	}
	return all
}
