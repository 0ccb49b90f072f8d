package landscape

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// Parse reads the files as one landscape and checks it as a whole. The findings
// are complete: one mistake does not hide the next. With an error among them
// the landscape is nil, for half a landscape is a different one.
func Parse(files []File) (*Landscape, Findings) {
	r := &reader{landscape: &Landscape{Shield: standardShield()}, declared: map[string]map[string]place{}, outside: map[Ref]place{}}
	for i, f := range files {
		r.file(newSource(f, i))
	}
	r.checkAll()
	found := r.findings()
	if r.failed {
		return nil, found
	}
	return r.landscape, found
}

// reader turns files into a landscape and remembers what is checked only when
// everything is known.
type reader struct {
	collector
	suggester
	landscape *Landscape
	first     *source                     // where a finding without a place is shown
	partial   bool                        // a file could not be read in full: say nothing of what is missing
	declared  map[string]map[string]place // kind, name
	sorted    map[string][]string         // kind, names; see names
	uses      []use
	environs  []declaredEnvironment
	services  []declaredService
	hosts     []declaredHost
	sources   []declaredSource
	moves     []declaredMigration
	endpoints []use
	shielded  bool
	awsAt     *body // the block aws
	fronted   []fronted
	outside   map[Ref]place // in aws: network of an environment's vpn, egress of a service
}

// use is a reference to something that must be declared somewhere.
type use struct {
	ref Ref
	at  place
}

func (r *reader) file(s *source) {
	if r.first == nil {
		r.first = s
	}
	if !r.admit(s) {
		r.partial = true
		return
	}
	parsed := r.syntax(s)
	if parsed == nil {
		r.partial = true
		return
	}
	root := &body{reader: r, src: s, Body: parsed, shape: rootShape, title: "the landscape file"}
	root.check()
	for _, b := range root.children() {
		switch b.kind {
		case "landscape":
			r.header(b)
		case kindEnvironment:
			r.environment(b)
		case kindService:
			r.service(b)
		case kindDatabase:
			r.database(b)
		case kindIngress:
			r.ingress(b)
		case kindSource:
			r.source(b)
		case kindMigration:
			r.migration(b)
		case kindProbe:
			r.probe(b)
		case kindPipeline:
			r.pipeline(b)
		case "shield":
			r.shield(b)
		case "aws":
			r.aws(b)
		}
	}
}

// syntax parses a file that was admitted.
func (r *reader) syntax(s *source) (parsed *hclsyntax.Body) {
	defer func() {
		// The parser asserts its own state by panicking; a file of strangers
		// must not end the program.
		if recover() != nil {
			r.add(place{src: s}, Error, "the file cannot be parsed", "look for an unclosed bracket, quote or heredoc")
			parsed = nil
		}
	}()
	file, diags := hclsyntax.ParseConfig(s.bytes, s.name, hcl.InitialPos)
	for _, d := range diags {
		if d.Severity != hcl.DiagError {
			continue
		}
		at := place{src: s}
		if d.Subject != nil {
			at = s.at(d.Subject.Start)
		}
		if d.Summary == "Attribute redefined" {
			r.add(at, Error, "the attribute is set twice in its block", "keep one of the two")
			continue
		}
		r.partial = true
		r.add(at, Error, "syntax: "+strings.ToLower(d.Summary[:1])+d.Summary[1:], syntaxMend(d))
		if at.line > 0 {
			s.broken[at.line] = true
		}
	}
	return file.Body.(*hclsyntax.Body)
}

// syntaxMend is the parser's advice, except where it would quote a piece of a
// string, which may be a secret.
func syntaxMend(d *hcl.Diagnostic) string {
	if strings.Contains(d.Summary, "escape") || strings.Contains(d.Summary, "index") {
		return `write \\ for a backslash and \" for a quote`
	}
	if mend := []rune(printable(maskText(d.Detail))); len(mend) <= maxMessage {
		return string(mend)
	}
	return "compare the line with the examples in the documentation"
}

// body is one block while it is read, or a whole file.
type body struct {
	*reader
	*hclsyntax.Body
	src   *source
	shape *shape
	kind  string
	name  string
	title string // for messages: service "till"
	at    place
}

// check reports everything that the shape doesn't know, or misses.
func (b *body) check() {
	for _, name := range b.attrNames() {
		if _, known := b.shape.attrs[name]; !known {
			a := b.Attributes[name]
			mend := b.suggester.mend(name, slices.Sorted(maps.Keys(b.shape.attrs)))
			if _, isBlock := b.shape.blocks[name]; isBlock {
				mend = fmt.Sprintf("%s is a block: write %s { … }, without =", name, name)
			}
			b.add(b.src.at(a.NameRange.Start), Error, fmt.Sprintf("%s has no attribute %s", b.title, quoted(name)), orRemove(mend))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b.shape.attrs)) {
		if a := b.shape.attrs[name]; a.required && b.Attributes[name] == nil && !b.partial {
			b.add(b.at, Error, fmt.Sprintf("%s has no %s", b.title, name), fmt.Sprintf("add %s = %s", name, a.example))
		}
	}
}

// attrNames are the attributes in the order of the file.
func (b *body) attrNames() []string {
	return slices.SortedFunc(maps.Keys(b.Attributes), func(x, y string) int {
		return cmp.Compare(b.Attributes[x].NameRange.Start.Byte, b.Attributes[y].NameRange.Start.Byte)
	})
}

func orRemove(mend string) string {
	if mend == "" {
		return "remove it"
	}
	return mend
}

// children are the known blocks inside, in order; each is checked.
func (b *body) children() []*body {
	var all []*body
	seen := map[string]place{}
	for _, block := range b.Blocks {
		at := b.src.at(block.TypeRange.Start)
		s, known := b.shape.blocks[block.Type]
		if !known {
			mend := b.suggester.mend(block.Type, slices.Sorted(maps.Keys(b.shape.blocks)))
			if a, isAttr := b.shape.attrs[block.Type]; isAttr {
				mend = fmt.Sprintf("%s is an attribute: write %s = %s", block.Type, block.Type, a.example)
			}
			b.add(at, Error, fmt.Sprintf("%s has no block %s", b.title, quoted(block.Type)), orRemove(mend))
			continue
		}
		if first, doubled := seen[block.Type]; doubled && s.once {
			b.add(at, Error, fmt.Sprintf("%s has a second block %s", b.title, block.Type), fmt.Sprintf("keep one; the first is at line %d", first.line))
			continue
		}
		seen[block.Type] = at
		if child := b.child(block, s, at); child != nil {
			all = append(all, child)
		}
	}
	return all
}

// child checks the labels of a block and what is in it; nil when it has no
// usable name.
func (b *body) child(block *hclsyntax.Block, s *shape, at place) *body {
	c := &body{reader: b.reader, Body: block.Body, src: b.src, shape: s, kind: block.Type, title: block.Type, at: at}
	if !s.label {
		if len(block.Labels) > 0 {
			b.add(b.src.at(block.LabelRanges[0].Start), Error, block.Type+" takes no name", "remove the name")
		}
		if b.shape != rootShape {
			c.title = block.Type + " of " + b.title
		}
		c.check()
		c.onlyBlocks()
		return c
	}
	if len(block.Labels) != 1 {
		mend := fmt.Sprintf("write %s \"name\" { … }", block.Type)
		b.add(at, Error, fmt.Sprintf("%s takes one name, and has %d", block.Type, len(block.Labels)), mend)
		c.check()
		return nil
	}
	c.name, c.at = block.Labels[0], b.src.at(block.LabelRanges[0].Start)
	c.title = block.Type + " " + quoted(c.name)
	c.check()
	c.onlyBlocks()
	return c
}

// onlyBlocks reports blocks inside a block that holds none.
func (b *body) onlyBlocks() {
	if len(b.shape.blocks) == 0 {
		b.children()
	}
}
