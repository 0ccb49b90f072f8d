package tofu

import (
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"
)

// longest text of a value; of a longer one its ends are shown, or where it
// begins to differ.
const longest = 120

// writer writes values for people, without what is secret.
type writer struct {
	hide  secrets
	named bool // what leads here says that it is secret
}

// text of a value: raw may be cut, fixed is all there is to say.
type text struct {
	raw    string
	quoted bool
	fixed  string
}

func (w writer) text(v, marks any) text {
	switch v := v.(type) {
	case nil:
		return text{}
	case bool: // never a secret by its name
		if marks == true {
			return text{fixed: masked}
		}
		return text{fixed: strconv.FormatBool(v)}
	case string:
		open := v == "" || strings.HasPrefix(v, "arn:") // whatever the name says
		if marks == true || w.hide.in(v) || w.named && !open {
			return text{fixed: masked}
		}
		return text{raw: v, quoted: true}
	case float64:
		if w.secret("", marks) {
			return text{fixed: masked}
		}
		return text{fixed: strconv.FormatFloat(v, 'f', -1, 64)}
	case json.Number:
		if w.secret(v.String(), marks) {
			return text{fixed: masked}
		}
		return text{fixed: v.String()}
	}
	return w.whole(v, marks)
}

// whole is a map or a list on one line: none of it where a part is secret.
func (w writer) whole(v, marks any) text {
	all := written(v, has)
	if w.secret(all, marks) || holdsTrue(marks) || w.within(v) {
		return text{fixed: masked}
	}
	return text{raw: all}
}

// within: a name or a text in a value is secret.
func (w writer) within(v any) bool {
	switch v := v.(type) {
	case map[string]any:
		for name, inner := range v {
			if w.hide.named(trail{{name: name}}) || w.hide.in(name) || w.within(inner) {
				return true
			}
		}
	case []any:
		for _, inner := range v {
			if w.within(inner) {
				return true
			}
		}
	case string:
		return w.hide.in(v)
	}
	return false
}

func (w writer) secret(v string, marks any) bool { return marks == true || w.named || w.hide.in(v) }

// cut writes a text, and shortens it so that it differs visibly from another.
func (t text) cut(other text) string {
	if t.raw == "" && !t.quoted {
		return t.fixed
	}
	quote := func(s string) string { return s }
	if t.quoted {
		quote = strconv.Quote
	}
	runes := []rune(t.raw)
	if len(runes) <= longest {
		return quote(t.raw)
	}
	if other.raw == "" {
		return quote(string(runes[:longest*2/3]) + "…" + string(runes[len(runes)-longest/3:]))
	}
	start := max(0, common(t.raw, other.raw)-longest/3)
	end := min(len(runes), start+longest)
	shown := string(runes[start:end])
	if start > 0 {
		shown = "…" + shown
	}
	if end < len(runes) {
		shown += "…"
	}
	return quote(shown)
}

// common is how many letters two texts begin with.
func common(a, b string) int {
	n := 0
	for len(a) > 0 && len(b) > 0 {
		x, size := utf8.DecodeRuneInString(a)
		y, other := utf8.DecodeRuneInString(b)
		if x != y || size != other {
			break
		}
		a, b, n = a[size:], b[other:], n+1
	}
	return n
}
