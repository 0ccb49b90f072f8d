package pipeline

import (
	"fmt"
	"strings"
)

// script writes blocks, each a level deeper than what is around it.
type script struct {
	b     strings.Builder
	depth int
}

func (s *script) line(format string, args ...any) {
	if format != "" {
		s.b.WriteString(strings.Repeat("  ", s.depth))
		fmt.Fprintf(&s.b, format, args...)
	}
	s.b.WriteByte('\n')
}

func (s *script) block(head string, body func()) {
	s.line("%s {", head)
	s.depth++
	body()
	s.depth--
	s.line("}")
}
