package landscape

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// Limits of a file. They are far beyond what people write, and keep a hostile
// file from costing more than a moment.
const (
	maxBytes     = 1 << 20
	maxDepth     = 200 // the parser recurses into brackets
	maxOperators = 200 // and into ?:, !, [*] and %{…}; a landscape needs none of them
	maxTokens    = 500_000
	maxPieces    = 5_000 // lines of one string: the parser's time grows with their square
	maxShown     = 240   // characters of a line that a finding shows
	maxMasked    = 4096  // bytes of a line that are looked at for showing it
)

// place is where something stands. The zero place is nowhere.
type place struct {
	src  *source
	line int // 1-based
	byte int // offset in the file
}

// source is one file while it is read.
type source struct {
	name   string
	order  int
	bytes  []byte
	lines  []int          // offset of each line
	broken map[int]bool   // lines with a syntax error: what else is wrong there is its consequence
	texts  map[int]string // lines as they may be shown
	masks  []span
}

func newSource(f File, order int) *source {
	s := &source{name: f.Name, order: order, bytes: f.Bytes, lines: []int{0}, broken: map[int]bool{}, texts: map[int]string{}}
	if len(f.Bytes) > maxBytes {
		return s
	}
	for i, b := range f.Bytes {
		if b == '\n' {
			s.lines = append(s.lines, i+1)
		}
	}
	return s
}

// at is the place of a position that the parser reported.
func (s *source) at(pos hcl.Pos) place { return s.offset(pos.Byte) }

// offset is the place of a byte.
func (s *source) offset(i int) place {
	i = min(i, len(s.bytes))
	line, found := slices.BinarySearch(s.lines, i)
	if found {
		line++
	}
	return place{src: s, line: line, byte: i}
}

// column is 1-based, in characters.
func (p place) column() int {
	return utf8.RuneCount(p.src.bytes[p.src.lines[p.line-1]:p.byte]) + 1
}

// text is the line of the place as a finding may show it: without secrets,
// without characters that a terminal would obey, not longer than maxShown.
func (p place) text() string {
	s := p.src
	if shown, ok := s.texts[p.line]; ok {
		return shown
	}
	from, to := s.lines[p.line-1], len(s.bytes)
	if p.line < len(s.lines) {
		to = s.lines[p.line] - 1
	}
	to = min(to, from+maxMasked)
	line := string(s.bytes[from:to])
	i, _ := slices.BinarySearchFunc(s.masks, from, func(m span, from int) int { return cmp.Compare(m.to, from+1) })
	if i < len(s.masks) && s.masks[i].from < to {
		line = line[:max(0, s.masks[i].from-from)] + mask
	}
	s.texts[p.line] = shorten(printable(maskText(line)))
	return s.texts[p.line]
}

// printable keeps one character for each, so that columns stay right.
func printable(s string) string {
	s = strings.TrimRight(s, "\r")
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case r == utf8.RuneError || unicode.IsControl(r) || unicode.Is(unicode.Cf, r):
			return '\uFFFD'
		}
		return r
	}, s)
}

func shorten(s string) string {
	if utf8.RuneCountInString(s) <= maxShown {
		return s
	}
	return string([]rune(s)[:maxShown]) + "…"
}

// admit says whether a file may be parsed at all, and adds a finding if not.
func (r *reader) admit(s *source) bool {
	if len(s.bytes) > maxBytes {
		r.add(place{src: s}, Error, fmt.Sprintf("the file has %d bytes; the limit is %d", len(s.bytes), maxBytes),
			"split the landscape into several files, and keep data out of it")
		return false
	}
	tokens, _ := hclsyntax.LexConfig(s.bytes, s.name, hcl.InitialPos)
	s.masks = secretSpans(tokens)
	if i := badByte(s.bytes); i >= 0 {
		r.add(s.offset(i), Error, fmt.Sprintf("byte 0x%02X is not text", s.bytes[i]),
			"save the file as UTF-8 text without control characters")
		return false
	}
	return r.admitTokens(s, tokens)
}

// badByte is the offset of the first byte that is no UTF-8 text, or -1.
func badByte(b []byte) int {
	for i := 0; i < len(b); {
		c, size := utf8.DecodeRune(b[i:])
		if c == utf8.RuneError && size == 1 || c == 0x7f || c < ' ' && c != '\t' && c != '\n' && c != '\r' {
			return i
		}
		i += size
	}
	return -1
}

// admitTokens keeps the recursive parser away from what would exhaust its stack
// or our time.
func (r *reader) admitTokens(s *source, tokens hclsyntax.Tokens) bool {
	if len(tokens) > maxTokens {
		r.add(place{src: s}, Error, fmt.Sprintf("the file has more than %d words and signs", maxTokens), "split the landscape into several files")
		return false
	}
	depth, operators, pieces := 0, 0, 0
	for _, t := range tokens {
		depth = max(0, depth+nesting(t.Type))
		if operator(t.Type) {
			operators++
		}
		pieces++
		if t.Type != hclsyntax.TokenStringLit && t.Type != hclsyntax.TokenQuotedLit {
			pieces = 0
		}
		at := t.Range.Start
		switch {
		case depth > maxDepth:
			r.add(s.at(at), Error, fmt.Sprintf("nested more than %d deep", maxDepth), "close the brackets, braces and quotes; a landscape needs no more than a few levels")
		case operators > maxOperators:
			r.add(s.at(at), Error, fmt.Sprintf("more than %d operators", maxOperators), "write values out; a landscape declares, it does not compute")
		case pieces > maxPieces:
			r.add(s.at(at), Error, fmt.Sprintf("a string of more than %d lines", maxPieces), "close the heredoc, or keep data out of the landscape")
		default:
			continue
		}
		return false
	}
	return true
}

func operator(t hclsyntax.TokenType) bool {
	switch t {
	case hclsyntax.TokenQuestion, hclsyntax.TokenBang, hclsyntax.TokenMinus, hclsyntax.TokenPlus, hclsyntax.TokenStar,
		hclsyntax.TokenSlash, hclsyntax.TokenPercent, hclsyntax.TokenAnd, hclsyntax.TokenOr, hclsyntax.TokenTemplateControl,
		hclsyntax.TokenEllipsis, hclsyntax.TokenEqualOp, hclsyntax.TokenNotEqual, hclsyntax.TokenLessThan,
		hclsyntax.TokenLessThanEq, hclsyntax.TokenGreaterThan, hclsyntax.TokenGreaterThanEq:
		return true
	}
	return false
}
