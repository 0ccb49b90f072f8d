package plan

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
)

var signs = map[Action]struct{ sign, code string }{
	Create:  {"+", "32"},
	Update:  {"~", "33"},
	Replace: {"±", "31"},
	Remove:  {"-", "31"},
}

// Format writes the plan for people: a sign, the thing, what becomes of it and
// why, and a summary line at the end. Colour is for terminals only.
func (p Plan) Format(w io.Writer, color bool) error {
	var b strings.Builder
	for _, c := range p.Changes {
		line := fmt.Sprintf("%s %s", signs[c.Action].sign, plain(c.title()))
		if color {
			line = "\x1b[" + signs[c.Action].code + "m" + line + "\x1b[0m"
		}
		b.WriteString(line)
		if c.Protected {
			b.WriteString("  (protected: needs approval)")
		}
		fmt.Fprintf(&b, "\n    %s\n", plain(c.Reason))
		if c.From != "" {
			fmt.Fprintf(&b, "    - %s\n", plain(c.From))
		}
		if c.To != "" {
			fmt.Fprintf(&b, "    + %s\n", plain(c.To))
		}
	}
	for _, k := range slices.Concat(p.Kept, p.Waits) {
		fmt.Fprintf(&b, "= %s\n    %s\n", plain(Change{Kind: k.Kind, Environment: k.Environment, Name: k.Name}.title()), plain(k.Reason))
	}
	b.WriteString(p.Summary() + "\n")
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write plan: %w", err)
	}
	return nil
}

func (c Change) title() string {
	if c.Kind == Environment {
		return fmt.Sprintf("%s %s", c.Kind, c.Name)
	}
	return fmt.Sprintf("%s %s in %s", c.Kind, c.Name, c.Environment)
}

// Summary is the plan in one line.
func (p Plan) Summary() string {
	if p.Empty() {
		return fmt.Sprintf("nothing to change; %d as declared", p.Unchanged) + p.summaryOfKept()
	}
	count := map[Action]int{}
	for _, c := range p.Changes {
		count[c.Action]++
	}
	s := fmt.Sprintf("%d to create, %d to update, %d to replace, %d to remove; %d as declared",
		count[Create], count[Update], count[Replace], count[Remove], p.Unchanged)
	if n := len(p.Protected()); n > 0 {
		s += fmt.Sprintf("; %d need approval", n)
	}
	return s + p.summaryOfKept()
}

func (p Plan) summaryOfKept() (s string) {
	if n := len(p.Kept); n > 0 {
		s = fmt.Sprintf("; %d kept", n)
	}
	if n := len(p.Waits); n > 0 {
		s += fmt.Sprintf("; %d to wait", n)
	}
	return s
}

// plain keeps what a site observed from steering a terminal.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '\uFFFD'
		}
		return r
	}, s)
}
