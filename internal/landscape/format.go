package landscape

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// HasErrors reports whether one of the findings forbids to go on.
func (fs Findings) HasErrors() bool {
	for _, f := range fs {
		if f.Severity == Error {
			return true
		}
	}
	return false
}

// Format writes the findings for people: the place, the line with a mark under
// the column, and the mend. Colour is for terminals only.
func (fs Findings) Format(w io.Writer, color bool) error {
	paint := func(code, s string) string {
		if !color || s == "" {
			return s
		}
		return "\x1b[" + code + "m" + s + "\x1b[0m"
	}
	for i, f := range fs {
		var b strings.Builder
		if i > 0 {
			b.WriteByte('\n')
		}
		if place := f.Place(); place != "" {
			b.WriteString(paint("1", place+":") + " ")
		}
		code := "1;31"
		if f.Severity == Warning {
			code = "1;33"
		}
		fmt.Fprintf(&b, "%s %s\n", paint(code, string(f.Severity)+":"), f.Summary)
		if f.Source != "" {
			gutter := fmt.Sprintf("%5d | ", f.Line)
			fmt.Fprintf(&b, "%s%s\n", paint("2", gutter), f.Source)
			if f.Column >= 1 && f.Column <= utf8.RuneCountInString(f.Source)+1 {
				fmt.Fprintf(&b, "%s%s%s\n", paint("2", "      | "), strings.Repeat(" ", f.Column-1), paint(code, "^"))
			}
		}
		if f.Mend != "" {
			fmt.Fprintf(&b, "%s %s\n", paint("1;32", "mend:"), f.Mend)
		}
		if _, err := io.WriteString(w, b.String()); err != nil {
			return fmt.Errorf("write findings: %w", err)
		}
	}
	return nil
}

// Place is file:line:col as far as they are known.
func (f Finding) Place() string {
	switch {
	case f.Line == 0:
		return f.File
	case f.Column == 0:
		return fmt.Sprintf("%s:%d", f.File, f.Line)
	}
	return fmt.Sprintf("%s:%d:%d", f.File, f.Line, f.Column)
}
