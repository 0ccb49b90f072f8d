package tofu

import (
	"fmt"
	"io"
	"strings"
)

var signs = map[Action]string{Create: "+", Update: "~", Replace: "±", Destroy: "-", Forget: "o", Import: "<", Move: ">"}

// codes of the colours that signs are shown in.
var codes = map[string]string{"+": "32", "~": "33", "±": "31", "-": "31", "o": "33", "<": "32", ">": "33", "!": "31"}

func paint(color bool, sign, text string) string {
	if code := codes[sign]; color && code != "" {
		return "\x1b[" + code + "m" + text + "\x1b[0m"
	}
	return text
}

// Format writes a summary for people. Colour is for terminals only.
func (s Summary) Format(w io.Writer, color bool) error {
	var b strings.Builder
	if s.Note != "" {
		fmt.Fprintf(&b, "%s\n\n", s.Note)
	}
	if len(s.Lost) > 0 {
		b.WriteString("Made by it, and not in the state: this plan would make them a second time. Adopt them first (apply --adopt).\n")
		for _, l := range s.Lost {
			fmt.Fprintf(&b, "  %s  (id %s)\n", paint(color, "!", "! "+l.Address), l.ID)
		}
		b.WriteByte('\n')
	}
	if len(s.Drift) > 0 {
		b.WriteString("Changed outside since the last apply:\n")
		for _, c := range s.Drift {
			c.format(&b, color)
		}
		b.WriteByte('\n')
	}
	for _, c := range s.Changes() {
		c.format(&b, color)
	}
	if len(s.Outputs) > 0 {
		fmt.Fprintf(&b, "  outputs: %s\n", strings.Join(s.Outputs, ", "))
	}
	b.WriteString(s.count() + "\n")
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write plan: %w", err)
	}
	return nil
}

// count is the plan in one line.
func (s Summary) count() string {
	if s.Empty {
		return s.Root + ": nothing to do."
	}
	if len(s.Changes())+len(s.Outputs) == 0 {
		return fmt.Sprintf("%s: nothing to change; %d changed outside.", s.Root, len(s.Drift))
	}
	line := fmt.Sprintf("%s: %d to create, %d to update, %d to replace, %d to destroy", s.Root, len(s.Create), len(s.Update), len(s.Replace), len(s.Destroy))
	for _, a := range []Action{Forget, Import, Move} {
		n := 0
		for _, c := range s.Other {
			if c.Action == a {
				n++
			}
		}
		if n > 0 {
			line += fmt.Sprintf(", %d to %s", n, a)
		}
	}
	return line + "."
}

func (c Change) format(b *strings.Builder, color bool) {
	sign := signs[c.Action]
	b.WriteString("  " + paint(color, sign, sign+" "+c.Address))
	if c.Why != "" {
		fmt.Fprintf(b, "  (%s)", c.Why)
	}
	b.WriteByte('\n')
	for _, f := range c.Fields {
		f.format(b, color)
	}
}

func (f Field) format(b *strings.Builder, color bool) {
	sign, what := "~", f.Before+" -> "+f.After
	switch {
	case f.Note != "":
		what = f.Note
	case f.Before == "":
		sign, what = "+", f.After
	case f.After == "":
		sign, what = "-", f.Before
	}
	fmt.Fprintf(b, "      %s %s: %s", paint(color, sign, sign), f.Path, what)
	if f.Forces {
		b.WriteString("  " + paint(color, "±", "(forces the replacement)"))
	}
	b.WriteByte('\n')
}
