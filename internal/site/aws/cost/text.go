package cost

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
)

// Text writes a bill for people: lines, sums, and what they rest on.
func (b Bill) Text(w io.Writer) error {
	var s strings.Builder
	fmt.Fprintf(&s, "%s on AWS in %s: %s to %s %s a month, estimated with prices of %s\n", b.Landscape, b.Region, b.Min, b.Max, b.Currency, b.Dated)
	for _, section := range b.Sections {
		fmt.Fprintf(&s, "\n%s: %s to %s\n", section.Name, section.Min, section.Max)
		section.text(&s)
	}
	s.WriteString("\nAssumed, where the landscape does not say it:\n")
	for _, a := range b.Assumptions.List() {
		fmt.Fprintf(&s, "  %s\n", a)
	}
	fmt.Fprintf(&s, "\nPrices marked * have no source that could be looked up and are assumed: %s\n", orNone(b.Assumed))
	s.WriteString("The others are from:\n")
	for _, source := range b.Sources {
		fmt.Fprintf(&s, "  %s; as of %s, looked up %s", source.Title, source.AsOf, source.LookedUp)
		if source.Remark != "" {
			fmt.Fprintf(&s, "; %s", source.Remark)
		}
		s.WriteByte('\n')
	}
	s.WriteString("\nNot in it:\n")
	for _, what := range b.Without {
		fmt.Fprintf(&s, "  %s\n", what)
	}
	_, err := io.WriteString(w, s.String())
	return err
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

func (section Section) text(s *strings.Builder) {
	t := tabwriter.NewWriter(s, 0, 0, 2, ' ', 0)
	for _, l := range section.Lines {
		item, mark := l.Item, ""
		if l.Of != "" {
			item += " (" + l.Of + ")"
		}
		if l.Assumed {
			mark = "*"
		}
		fmt.Fprintf(t, "  %s\t%s\tx %s%s a %s\t%s\n", item, span(number(l.Least), number(l.Most)), number(l.Price), mark, l.Unit, span(l.Min.String(), l.Max.String()))
	}
	_ = t.Flush() // into memory
}

func span(a, b string) string {
	if a == b {
		return a
	}
	return a + " to " + b
}

func number(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
