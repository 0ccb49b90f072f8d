package cli

import (
	"fmt"
	"io"
	"strings"

	"godwit/internal/site/aws/tofu"
)

// showSummary is a plan for people.
func showSummary(w io.Writer, p planned) {
	if err := p.Summary.Text(w); err != nil {
		return
	}
	for _, r := range p.Reasons {
		fmt.Fprintf(w, "wants --approve: %s: %s\n", r.Address, r.Why)
	}
}

func reasonsText(reasons []tofu.Reason) string {
	var texts []string
	for i, r := range reasons {
		if i == 3 {
			texts = append(texts, fmt.Sprintf("and %d more", len(reasons)-i))
			break
		}
		texts = append(texts, strings.TrimSpace(r.Address+": "+r.Why))
	}
	return strings.Join(texts, "; ")
}
