package landscape

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
)

const (
	maxFindings = 200
	maxMessage  = 300
)

// collector gathers findings. Beyond maxFindings it only counts.
type collector struct {
	found  []placed
	more   int
	failed bool
}

type placed struct {
	at place
	Finding
}

func (c *collector) add(at place, severity Severity, summary, mend string) {
	c.failed = c.failed || severity == Error
	if at.src != nil && at.src.broken[at.line] {
		return
	}
	if len(c.found) >= maxFindings {
		c.more++
		return
	}
	f := Finding{Severity: severity, Summary: summary, Mend: mend}
	if at.src != nil {
		f.File = printable(at.src.name)
	}
	if at.src != nil && at.line > 0 {
		f.Line, f.Column, f.Source = at.line, at.column(), at.text()
	}
	c.found = append(c.found, placed{at, f})
}

// findings are what was gathered, in the order of the files.
func (c *collector) findings() Findings {
	order := func(p placed) int {
		if p.at.src == nil {
			return -1
		}
		return p.at.src.order
	}
	slices.SortStableFunc(c.found, func(a, b placed) int {
		return cmp.Or(cmp.Compare(order(a), order(b)), cmp.Compare(a.at.byte, b.at.byte))
	})
	var fs Findings
	for _, p := range c.found {
		fs = append(fs, p.Finding)
	}
	if c.more > 0 {
		severity := Warning
		if c.failed {
			severity = Error
		}
		fs = append(fs, Finding{
			Severity: severity,
			Summary:  fmt.Sprintf("%d more findings are not shown", c.more),
			Mend:     "mend those above first; one mistake often causes many",
		})
	}
	return fs
}

// quoted shows a word of the file in a message: masked, harmless to terminals,
// and short.
func quoted(s string) string {
	s = maskText(s)
	if r := []rune(s); len(r) > maxName+20 {
		s = string(r[:maxName]) + "…"
	}
	return strconv.Quote(s)
}
