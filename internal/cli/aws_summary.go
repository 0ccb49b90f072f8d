package cli

import (
	"fmt"
	"io"
	"strings"

	"godwit/internal/site/aws/tofu"
)

// showSummary is a plan for people.
func showSummary(w io.Writer, p planned, color bool) {
	if err := p.Summary.Format(w, color); err != nil {
		return
	}
	for _, line := range grouped(p.Reasons) {
		fmt.Fprintf(w, "wants --approve: %s\n", line)
	}
}

// mostNamed resources of those that want approval for the same reason; the plan
// above names them all.
const mostNamed = 3

// grouped says each reason once, for all that it holds of.
func grouped(reasons []tofu.Reason) []string {
	var order []string
	of := map[string][]string{}
	for _, r := range reasons {
		if of[r.Why] == nil {
			order = append(order, r.Why)
		}
		of[r.Why] = append(of[r.Why], r.Address)
	}
	var lines []string
	for _, why := range order {
		named := of[why]
		if more := len(named) - mostNamed; more > 0 {
			named = append(named[:mostNamed:mostNamed], fmt.Sprintf("and %d more", more))
		}
		lines = append(lines, why+" ("+strings.Join(named, ", ")+")")
	}
	return lines
}

// reasonsText is for a message below the plan: what weighs most.
func reasonsText(reasons []tofu.Reason) string {
	lines := grouped(reasons)
	if more := len(lines) - 1; more > 0 {
		return fmt.Sprintf("%s, and %s", lines[0], count(more, "other reason"))
	}
	return lines[0]
}
