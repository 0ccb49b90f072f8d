package landscape

import (
	"math/big"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// Expressions are read by their shape and never evaluated: evaluation of a
// hostile file could take for ever, and references must stay unresolved.

// bare takes parentheses away.
func bare(e hclsyntax.Expression) hclsyntax.Expression {
	for {
		p, ok := e.(*hclsyntax.ParenthesesExpr)
		if !ok {
			return e
		}
		e = p.Expression
	}
}

// steps are the names of a traversal: database.till.url.
func steps(e hclsyntax.Expression) ([]string, bool) {
	t, ok := bare(e).(*hclsyntax.ScopeTraversalExpr)
	if !ok {
		return nil, false
	}
	var names []string
	for _, step := range t.Traversal {
		switch step := step.(type) {
		case hcl.TraverseRoot:
			names = append(names, step.Name)
		case hcl.TraverseAttr:
			names = append(names, step.Name)
		case hcl.TraverseIndex:
			if step.Key.Type() != cty.String {
				return nil, false
			}
			names = append(names, step.Key.AsString())
		default:
			return nil, false
		}
	}
	return names, true
}

// asText reads a string without references.
func asText(e hclsyntax.Expression) (string, bool) {
	v, ok := asValue(e, nil)
	if !ok || len(v.Refs()) > 0 {
		return "", false
	}
	if _, isTemplate := bare(e).(*hclsyntax.TemplateExpr); !isTemplate {
		return "", false
	}
	var b strings.Builder
	for _, p := range v.Parts {
		b.WriteString(p.Literal)
	}
	return b.String(), true
}

// asValue reads a string that may hold references. Numbers and booleans are
// taken as they are written in src; without src they are refused.
func asValue(e hclsyntax.Expression, src []byte) (Value, bool) {
	var b builder
	if !gather(&b, e, src) {
		return Value{}, false
	}
	return b.value(), true
}

func gather(b *builder, e hclsyntax.Expression, src []byte) bool {
	switch e := bare(e).(type) {
	case *hclsyntax.TemplateExpr:
		for _, part := range e.Parts {
			if !gather(b, part, src) {
				return false
			}
		}
		return true
	case *hclsyntax.TemplateWrapExpr:
		return gather(b, e.Wrapped, src)
	case *hclsyntax.LiteralValueExpr:
		switch {
		case e.Val.IsNull():
			return false
		case e.Val.Type() == cty.String:
			b.literal(e.Val.AsString())
			return true
		case src != nil:
			b.literal(string(e.SrcRange.SliceBytes(src)))
			return true
		}
	case *hclsyntax.ScopeTraversalExpr:
		names, ok := steps(e)
		if !ok {
			return false
		}
		ref, ok := parseAttrRef(strings.Join(names, "."))
		if ok {
			b.ref(ref)
		}
		return ok
	}
	return false
}

// asNumber reads a whole number.
func asNumber(e hclsyntax.Expression) (int, bool) {
	negative := false
	if u, ok := bare(e).(*hclsyntax.UnaryOpExpr); ok && u.Op == hclsyntax.OpNegate {
		e, negative = u.Val, true
	}
	l, ok := bare(e).(*hclsyntax.LiteralValueExpr)
	if !ok || l.Val.IsNull() || l.Val.Type() != cty.Number {
		return 0, false
	}
	n, accuracy := l.Val.AsBigFloat().Int64()
	if accuracy != big.Exact || n != int64(int32(n)) {
		return 0, false
	}
	if negative {
		n = -n
	}
	return int(n), true
}

// asBool reads true or false.
func asBool(e hclsyntax.Expression) (value, ok bool) {
	l, ok := bare(e).(*hclsyntax.LiteralValueExpr)
	if !ok || l.Val.IsNull() || l.Val.Type() != cty.Bool {
		return false, false
	}
	return l.Val.True(), true
}

// asDuration reads a duration above zero, "100ms".
func asDuration(e hclsyntax.Expression) (time.Duration, bool) {
	s, ok := asText(e)
	if !ok {
		return 0, false
	}
	d, err := time.ParseDuration(s)
	return d, err == nil && d > 0
}

// asRef reads kind.name.
func asRef(e hclsyntax.Expression) (Ref, bool) {
	names, ok := steps(e)
	if !ok || len(names) != 2 {
		return Ref{}, false
	}
	return Ref{Kind: names[0], Name: names[1]}, true
}

// asList reads the expressions of a list.
func asList(e hclsyntax.Expression) ([]hclsyntax.Expression, bool) {
	t, ok := bare(e).(*hclsyntax.TupleConsExpr)
	if !ok {
		return nil, false
	}
	return t.Exprs, true
}

// pair is an entry of a map.
type pair struct {
	key   string
	at    hcl.Pos
	value hclsyntax.Expression
}

// asMap reads the entries of a map, in order. A key that is no name has key "".
func asMap(e hclsyntax.Expression) ([]pair, bool) {
	o, ok := bare(e).(*hclsyntax.ObjectConsExpr)
	if !ok {
		return nil, false
	}
	var pairs []pair
	for _, item := range o.Items {
		p := pair{at: item.KeyExpr.Range().Start, value: item.ValueExpr, key: hcl.ExprAsKeyword(item.KeyExpr)}
		if k, ok := item.KeyExpr.(*hclsyntax.ObjectConsKeyExpr); ok && p.key == "" {
			p.key, _ = asText(k.Wrapped)
		}
		pairs = append(pairs, p)
	}
	return pairs, true
}
