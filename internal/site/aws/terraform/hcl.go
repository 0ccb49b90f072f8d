package terraform

import (
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"
)

// file is an HCL file that is being written. What comes from a landscape goes in
// as a value, never as text of the language: hclwrite quotes it.
type file struct {
	body
	file  *hclwrite.File
	empty bool
	seen  map[string]bool // blocks that are there, by kind and labels
	twice string          // one that would be there twice
}

func newFile() *file {
	f := &file{file: hclwrite.NewEmptyFile(), empty: true, seen: map[string]bool{}}
	f.body = body{to: f.file.Body()}
	return f
}

func (f *file) bytes() []byte { return hclwrite.Format(f.file.Bytes()) }

// top begins a block of the file, after an empty line and the comment.
func (f *file) top(comment, kind string, labels ...string) *body {
	if !f.empty {
		f.gap()
	}
	f.empty = false
	if key := kind + " " + strings.Join(labels, "."); len(labels) > 0 && f.seen[key] {
		f.twice = key
	} else {
		f.seen[key] = true
	}
	if comment != "" {
		f.comment(comment)
	}
	return &body{f.to.AppendNewBlock(kind, labels).Body()}
}

// body of a file or a block.
type body struct{ to *hclwrite.Body }

func (b *body) block(kind string, labels ...string) *body {
	return &body{b.to.AppendNewBlock(kind, labels).Body()}
}

func (b *body) gap() { b.to.AppendNewline() }

// comment writes lines that begin with #. A comment is written here, not in a
// landscape, and has no line that ends early.
func (b *body) comment(text string) {
	for line := range strings.SplitSeq(text, "\n") {
		b.to.AppendUnstructuredTokens(hclwrite.Tokens{{Type: hclsyntax.TokenComment, Bytes: []byte(strings.TrimRight("# "+line, " ") + "\n")}})
	}
}

// line is one that is written as it stands here.
func (b *body) line(text string) {
	b.to.AppendUnstructuredTokens(hclwrite.Tokens{{Type: hclsyntax.TokenIdent, Bytes: []byte(text)}})
	b.gap()
}

func (b *body) set(name string, v value) { b.to.SetAttributeRaw(name, hclwrite.Tokens(v)) }

// value is the right side of an attribute.
type value hclwrite.Tokens

func text(s string) value { return value(hclwrite.TokensForValue(cty.StringVal(s))) }
func number(n int) value  { return value(hclwrite.TokensForValue(cty.NumberIntVal(int64(n)))) }
func flag(b bool) value   { return value(hclwrite.TokensForValue(cty.BoolVal(b))) }

// reference is an expression that is written here: module.network.vpc_id.
func reference(format string, names ...any) value {
	source := fmt.Sprintf(format, names...)
	f, diags := hclwrite.ParseConfig([]byte("x = "+source+"\n"), "", hcl.InitialPos)
	if diags.HasErrors() || f.Body().GetAttribute("x") == nil || len(f.Body().Attributes()) != 1 {
		panic(fmt.Sprintf("terraform: %q is no expression: names must have been checked", source))
	}
	return value(f.Body().GetAttribute("x").Expr().BuildTokens(nil))
}

func list(values ...value) value {
	all := make([]hclwrite.Tokens, len(values))
	for i, v := range values {
		all[i] = hclwrite.Tokens(v)
	}
	return value(hclwrite.TokensForTuple(all))
}

func texts(all []string) value {
	values := make([]value, len(all))
	for i, s := range all {
		values[i] = text(s)
	}
	return list(values...)
}

// lines is a list with one element on each line.
func lines(values ...value) value {
	if len(values) == 0 {
		return list()
	}
	mark := func(kind hclsyntax.TokenType, s string) *hclwrite.Token {
		return &hclwrite.Token{Type: kind, Bytes: []byte(s)}
	}
	out := hclwrite.Tokens{mark(hclsyntax.TokenOBrack, "["), mark(hclsyntax.TokenNewline, "\n")}
	for _, v := range values {
		out = append(append(out, v...), mark(hclsyntax.TokenComma, ","), mark(hclsyntax.TokenNewline, "\n"))
	}
	return value(append(out, mark(hclsyntax.TokenCBrack, "]")))
}

// field of an object.
type field struct {
	name  string
	value value
}

// object keeps the order of its fields. Names that are no identifiers are quoted.
func object(fields ...field) value {
	all := make([]hclwrite.ObjectAttrTokens, len(fields))
	for i, f := range fields {
		name := hclwrite.TokensForValue(cty.StringVal(f.name))
		if hclsyntax.ValidIdentifier(f.name) {
			name = hclwrite.TokensForIdentifier(f.name)
		}
		all[i] = hclwrite.ObjectAttrTokens{Name: name, Value: hclwrite.Tokens(f.value)}
	}
	return value(hclwrite.TokensForObject(all))
}

// identifier is a name within Terraform: kind_name. Names have no underscore of
// their own; what falls together nevertheless is found by top.
func identifier(parts ...string) string {
	return strings.ReplaceAll(strings.Join(parts, "_"), "-", "_")
}
