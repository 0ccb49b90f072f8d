package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/hashicorp/terraform-plugin-go/tfprotov5"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// providerSchema is everything that the provider can be asked for. Of its two
// thousand blocks a command needs a few: each is parsed when it is asked for.
type providerSchema struct {
	version   string
	provider  *block
	resources map[string]*lazyBlock
	data      map[string]*lazyBlock
}

type lazyBlock struct {
	raw   []byte
	omit  []string
	parse sync.Once
	block *block
}

// block is the body of a resource, of a data source, or of a block in one.
type block struct {
	Attributes map[string]attribute `json:"a"`
	Blocks     map[string]nested    `json:"b"`

	object func() cty.Type
}

// attribute is an argument, or something that is only read.
type attribute struct {
	required, optional, computed bool

	kind json.RawMessage
}

// nested is a block within a block.
type nested struct {
	nesting  string // list, set or single
	min, max int64
	block    *block
}

// readSchema reads lines of "version V", "provider BLOCK", "resource NAME BLOCK" and
// "data NAME BLOCK". With names, it keeps only those.
func readSchema(gz []byte, only map[string]bool) (*providerSchema, error) {
	unpacked, err := gzip.NewReader(bytes.NewReader(gz))
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(unpacked)
	if err != nil {
		return nil, err
	}
	schema := &providerSchema{resources: map[string]*lazyBlock{}, data: map[string]*lazyBlock{}}
	for line := range bytes.Lines(text) {
		kind, rest, _ := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte(" "))
		name, raw, _ := bytes.Cut(rest, []byte(" "))
		b := &lazyBlock{raw: raw, omit: omitted(string(name), only)}
		switch string(kind) {
		case "version":
			schema.version = string(rest)
		case "provider":
			schema.provider = (&lazyBlock{raw: rest}).get()
		case "resource":
			keep(schema.resources, string(name), b, only)
		case "data":
			keep(schema.data, string(name), b, only)
		default:
			return nil, fmt.Errorf("a line of kind %q", kind)
		}
	}
	return schema, nil
}

func keep(in map[string]*lazyBlock, name string, b *lazyBlock, only map[string]bool) {
	if len(only) == 0 || only[name] {
		in[name] = b
	}
}

// omitted are blocks within a resource that are not offered unless they are named:
// the statements of WAF rules hold each other three deep, and OpenTofu goes through
// the type of it all for each value.
func omitted(name string, only map[string]bool) (omit []string) {
	if len(only) == 0 || !strings.HasPrefix(name, "aws_wafv2_") {
		return nil
	}
	for _, holder := range []string{"and_statement", "or_statement", "not_statement"} {
		if !only[holder] {
			omit = append(omit, holder)
		}
	}
	return omit
}

// get parses the block. It was written by a program: one that can't be parsed is a
// fault in the build, not in what a user wrote.
func (l *lazyBlock) get() *block {
	l.parse.Do(func() {
		l.block = &block{}
		if err := json.Unmarshal(l.raw, l.block); err != nil {
			panic(fmt.Sprintf("schema: %v", err))
		}
		l.block.without(l.omit)
		l.block.prepare()
	})
	return l.block
}

func (b *block) without(names []string) {
	for _, name := range names {
		delete(b.Blocks, name)
	}
	for _, n := range b.Blocks {
		n.block.without(names)
	}
}

func (b *block) prepare() {
	b.object = sync.OnceValue(b.makeObject)
	for _, n := range b.Blocks {
		n.block.prepare()
	}
}

func (a *attribute) UnmarshalJSON(raw []byte) error {
	var pair []json.RawMessage
	if err := json.Unmarshal(raw, &pair); err != nil || len(pair) != 2 {
		return fmt.Errorf("attribute %s: not [flags, type]", raw)
	}
	a.required = bytes.Contains(pair[0], []byte("r"))
	a.optional = bytes.Contains(pair[0], []byte("o"))
	a.computed = bytes.Contains(pair[0], []byte("c"))
	a.kind = pair[1]
	return nil
}

func (n *nested) UnmarshalJSON(raw []byte) error {
	return json.Unmarshal(raw, &[]any{&n.nesting, &n.min, &n.max, &n.block})
}

// typ is the attribute's type.
func (a attribute) typ() cty.Type {
	t, err := ctyjson.UnmarshalType(a.kind)
	if err != nil {
		panic(fmt.Sprintf("schema: type %s: %v", a.kind, err))
	}
	return t
}

// makeObject is the type of the values that the block describes.
func (b *block) makeObject() cty.Type {
	members := map[string]cty.Type{}
	for name, a := range b.Attributes {
		members[name] = a.typ()
	}
	for name, n := range b.Blocks {
		members[name] = n.typ()
	}
	return cty.Object(members)
}

func (n nested) typ() cty.Type {
	switch n.nesting {
	case "list":
		return cty.List(n.block.object())
	case "set":
		return cty.Set(n.block.object())
	default:
		return n.block.object()
	}
}

func schemas(blocks map[string]*lazyBlock) map[string]*tfprotov5.Schema {
	all := make(map[string]*tfprotov5.Schema, len(blocks))
	for name, b := range blocks {
		all[name] = &tfprotov5.Schema{Block: b.get().wire(name)}
	}
	return all
}

// wire is the block as the protocol describes it.
func (b *block) wire(path string) *tfprotov5.SchemaBlock {
	out := &tfprotov5.SchemaBlock{}
	for name, a := range b.Attributes {
		//lint:ignore SA1019 the protocol's own way to write a type
		t, err := tftypes.ParseJSONType(a.kind)
		if err != nil {
			panic(fmt.Sprintf("schema: %s.%s: type %s: %v", path, name, a.kind, err))
		}
		out.Attributes = append(out.Attributes, &tfprotov5.SchemaAttribute{
			Name: name, Type: t, Required: a.required, Optional: a.optional, Computed: a.computed,
			Sensitive: secret(path, name), WriteOnly: writeOnly(name),
		})
	}
	for name, n := range b.Blocks {
		mode := tfprotov5.SchemaNestedBlockNestingModeSingle
		switch n.nesting {
		case "list":
			mode = tfprotov5.SchemaNestedBlockNestingModeList
		case "set":
			mode = tfprotov5.SchemaNestedBlockNestingModeSet
		}
		out.BlockTypes = append(out.BlockTypes, &tfprotov5.SchemaNestedBlock{
			TypeName: name, Block: n.block.wire(path + "." + name), Nesting: mode, MinItems: n.min, MaxItems: n.max,
		})
	}
	return out
}

// writeOnly arguments reach the provider and no state; the provider names them so.
func writeOnly(name string) bool { return strings.HasSuffix(name, "_wo") }
