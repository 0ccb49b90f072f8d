package tofu

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	tfjson "github.com/hashicorp/terraform-json"
	"pgregory.net/rapid"
)

// garden grows pairs of values in which each leaf has a text of its own, and
// notes what has to be said of them, once, and what must not be said.
type garden struct {
	*rapid.T
	leaves int
	said   []string // differs
	silent []string // is equal, or secret
}

// plant is a value before and after, and the marks of both.
type plant struct{ before, after, left, right any }

func (g *garden) draw(n int) int { return rapid.IntRange(0, n-1).Draw(g.T, "n") }

func (g *garden) text() string {
	g.leaves++
	return fmt.Sprintf("leaf%04d", g.leaves)
}

// fresh is a leaf that is there on one side only.
func (g *garden) fresh() string {
	text := g.text()
	g.said = append(g.said, text)
	return text
}

func (g *garden) kept() string {
	text := g.text()
	g.silent = append(g.silent, text)
	return text
}

func (g *garden) grow(depth int) plant {
	kind := g.draw(7)
	switch {
	case depth == 0 || kind < 3:
		return g.leaf()
	case kind == 3:
		return g.names(depth - 1)
	case kind == 4:
		return g.set()
	case kind == 5:
		known := garden{T: g.T, leaves: g.leaves}
		p, stays := known.names(0), known.kept() // no two documents are equal
		p.before.(map[string]any)["stays"], p.after.(map[string]any)["stays"] = stays, stays
		if p.left = nil; holdsTrue(p.right) { // a document is secret as a whole
			known.silent, known.said, p.left = append(known.silent, known.said...), nil, true
		}
		g.leaves, g.said, g.silent = known.leaves, append(g.said, known.said...), append(g.silent, known.silent...)
		return plant{canon(p.before), canon(p.after), p.left, p.left}
	}
	return g.blocks(depth - 1)
}

func (g *garden) leaf() plant {
	switch g.draw(6) {
	case 0:
		p := plant{g.text(), g.text(), true, true}
		g.silent = append(g.silent, p.before.(string), p.after.(string))
		return p
	case 1, 2:
		return plant{g.fresh(), g.fresh(), nil, nil}
	}
	text := g.kept()
	return plant{text, text, nil, nil}
}

// names of a map: some on one side only.
func (g *garden) names(depth int) plant {
	before, after, left, right := map[string]any{}, map[string]any{}, map[string]any{}, map[string]any{}
	for i := range g.draw(4) + 1 {
		name := string(rune('a' + i))
		switch g.draw(8) {
		case 0:
			before[name] = g.fresh()
		case 1:
			after[name] = g.fresh()
		default:
			p := g.grow(depth)
			before[name], after[name], left[name], right[name] = p.before, p.after, p.left, p.right
		}
	}
	return plant{before, after, left, right}
}

// set has more than one element: what one becomes is that one.
func (g *garden) set() plant {
	before, after := []any{g.kept()}, []any{}
	for range g.draw(3) + 1 {
		before = append(before, g.fresh())
	}
	for range g.draw(3) {
		after = append(after, g.fresh())
	}
	return plant{before, append(after, before[0]), nil, nil}
}

// blocks have something that stays, by name or not. Some come, some go, and all
// may change places.
func (g *garden) blocks(depth int) plant {
	key := []string{"name", "other"}[g.draw(2)]
	var before, after []plant
	for range g.draw(4) {
		switch g.draw(6) {
		case 0:
			before = append(before, plant{before: map[string]any{key: g.fresh(), "empty": []any{}}})
		case 1:
			after = append(after, plant{after: map[string]any{key: g.fresh(), "null": nil}})
		default:
			p, stays := g.names(depth), g.kept()
			p.before.(map[string]any)[key], p.after.(map[string]any)[key] = stays, stays
			before, after = append(before, p), append(after, p)
		}
	}
	if len(after) > 1 {
		after = rapid.Permutation(after).Draw(g.T, "places")
	}
	all := plant{[]any{}, []any{}, []any{}, []any{}}
	for _, p := range before {
		all.before, all.left = append(all.before.([]any), p.before), append(all.left.([]any), p.left)
	}
	for _, p := range after {
		all.after, all.right = append(all.after.([]any), p.after), append(all.right.([]any), p.right)
	}
	return all
}

// TestEveryLeafOnce: the text has every leaf that differs once, and none that is
// equal or secret.
func TestEveryLeafOnce(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		g := garden{T: t}
		p := g.names(3)
		found := map[string]bool{}
		collect(found, p.before, p.left)
		collect(found, p.after, p.right)
		c := &tfjson.Change{Before: p.before, After: p.after, BeforeSensitive: p.left, AfterSensitive: p.right}
		var b strings.Builder
		for _, f := range fieldsOf(c, sortedKeys(found), nil) {
			f.format(&b, false)
		}
		for _, leaf := range g.said {
			if n := strings.Count(b.String(), ` "`+leaf+`"`); n != 1 {
				t.Errorf("%s is said %d times", leaf, n)
			}
		}
		for _, leaf := range g.silent {
			if strings.Contains(b.String(), ` "`+leaf+`"`) || found[leaf] && strings.Contains(b.String(), leaf) {
				t.Errorf("%s is said", leaf)
			}
		}
		if t.Failed() {
			t.Logf("%s\n->\n%s\ngives\n%s", canon(p.before), canon(p.after), b.String())
		}
	})
}

// anything is a value of any form, out of few texts: much is equal by chance.
func anything(depth int) *rapid.Generator[any] {
	plain := rapid.Custom(func(t *rapid.T) any {
		return rapid.SampledFrom([]any{nil, true, false, "x", "y", "", json.Number("1"), json.Number("2")}).Draw(t, "plain")
	})
	if depth == 0 {
		return plain
	}
	inner := anything(depth - 1)
	return rapid.OneOf(plain,
		rapid.Map(rapid.SliceOfN(inner, 0, 3), func(list []any) any { return list }),
		rapid.Map(rapid.MapOfN(rapid.SampledFrom([]string{"a", "b", "name"}), inner, 0, 3), func(m map[string]any) any { return m }))
}

var bracket = regexp.MustCompile(`\[(\d*|"[^"]*")\]`)

// tell counts the plain values by the names that lead to them, wherever in a list.
func tell(count map[string]int, name string, v any, n int) {
	switch v := v.(type) {
	case nil:
	case map[string]any:
		for inner, value := range v {
			tell(count, strings.TrimPrefix(name+"."+inner, "."), value, n)
		}
	case []any:
		for _, inner := range v {
			tell(count, name, inner, n)
		}
	default:
		count[name+"="+canon(v)] += n
	}
}

// TestNothingIsLost: what was there, without what is said to go and with what is
// said to come, is what will be there; and what is said goes somewhere.
func TestNothingIsLost(t *testing.T) {
	t.Parallel()
	values := rapid.MapOfN(rapid.SampledFrom([]string{"a", "b", "c"}), anything(3), 0, 3)
	rapid.Check(t, func(t *rapid.T) {
		before, after := any(values.Draw(t, "before")), any(values.Draw(t, "after"))
		fields := fieldsOf(&tfjson.Change{Before: before, After: after}, nil, nil)
		count := map[string]int{}
		tell(count, "", before, 1)
		tell(count, "", after, -1)
		for _, f := range fields {
			if f.Before == f.After && f.Note == "" || strings.Contains(f.Before+f.After, "…") {
				t.Fatalf("%+v", f)
			}
			for text, sign := range map[string]int{f.Before: -1, f.After: 1} {
				var v any
				if text != "" && json.Unmarshal([]byte(text), &v) == nil {
					tell(count, bracket.ReplaceAllString(f.Path, ""), v, sign)
				}
			}
		}
		for leaf, n := range count {
			if n != 0 {
				t.Fatalf("%s is off by %d\n%s\n->\n%s\n%+v", leaf, n, canon(before), canon(after), fields)
			}
		}
		if len(fields) == 0 && !equal(before, after) {
			t.Fatalf("nothing is said of\n%s\n->\n%s", canon(before), canon(after))
		}
		if again := fieldsOf(&tfjson.Change{Before: before, After: after}, nil, nil); !slices.Equal(again, fields) {
			t.Fatalf("said otherwise the second time: %+v, %+v", fields, again)
		}
	})
}
