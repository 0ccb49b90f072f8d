package report

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"unicode"
)

// WriteText writes the report for a terminal, about 30 lines. Colour is for
// terminals only.
func (r Report) WriteText(w io.Writer, color bool) error {
	t := text{color: color}
	t.head(r)
	t.numbers(r)
	t.rollouts(r.Rollouts)
	for _, p := range r.Problems {
		t.line(t.paint("31", "  ✗ "+plain(p)))
	}
	if _, err := io.WriteString(w, t.b.String()); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

// text gathers lines.
type text struct {
	b     strings.Builder
	color bool
}

func (t *text) line(s string) { t.b.WriteString(s + "\n") }

func (t *text) paint(code, s string) string {
	if !t.color {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (t *text) head(r Report) {
	verdict := t.paint("1;32", "✓ ok")
	if r.Verdict != OK {
		verdict = t.paint("1;31", "✗ failed")
	}
	t.line(fmt.Sprintf("%s  %s  %s", t.paint("1", plain(r.Landscape)), verdict,
		t.paint("2", fmt.Sprintf("%.1f s at %.0f requests/s, godwit %s", r.DurationS, r.Rate, plain(r.Version)))))
	if s := sparkline(r.Timeline); s != "" {
		t.line("  " + t.paint("36", s) + t.paint("2", "  answered/s"))
	}
	t.line("")
}

// numbers writes one line for each part that happened.
func (t *text) numbers(r Report) {
	q := r.Requests
	rows := [][2]string{
		{"requests", fmt.Sprintf("%s sent, %s ok, %s failed, %s held", number(q.Sent), number(q.OK), number(q.Failed), number(q.Held))},
		{"latency", fmt.Sprintf("median %s, p99 %s, max %s, longest gap %s", millis(q.P50MS), millis(q.P99MS), millis(q.MaxMS), millis(q.LongestGapMS))},
	}
	if l := r.Ledger; l != nil {
		rows = append(rows, [2]string{"ledger", fmt.Sprintf("%s acknowledged, %s found, %s missing, %s duplicated, %s receipt gaps, %s chain breaks",
			number(l.Acknowledged), number(l.Found), number(l.Missing), number(l.Duplicated), number(l.ReceiptGaps), number(l.ChainBreaks))})
	}
	if i := r.Isolation; i != nil {
		rows = append(rows, [2]string{"isolation", fmt.Sprintf("%d pairs, %d allowed, %d denied, %d wrong", i.Pairs, i.Allowed, i.Denied, i.Wrong)})
	}
	for _, m := range []namedMove{{"cutover", r.Cutover}, {"rollback", r.Rollback}} {
		if m.Move == nil {
			continue
		}
		rows = append(rows, [2]string{m.Title, fmt.Sprintf("%s write pause at %s", t.paint("1", millis(m.WritePauseMS)), plain(m.LSN))})
		for _, s := range m.Steps {
			rows = append(rows, [2]string{"", fmt.Sprintf("%10s  %s", millis(s.MS), plain(s.Name))})
		}
	}
	for _, row := range rows {
		t.line(fmt.Sprintf("  %-10s %s", row[0], row[1]))
	}
}

func (t *text) rollouts(all []Rollout) {
	if len(all) == 0 {
		return
	}
	t.line("")
	tw := tabwriter.NewWriter(&t.b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "  rollout\tfrom\tto\toutcome\tfailed\tshielded\treason")
	for _, o := range all {
		fmt.Fprintf(tw, "  %s\t%s\t%s\t%s\t%d\t%d\t%s\n", plain(o.Service), plain(o.From), plain(o.To), plain(o.Outcome), o.FailedRequests, o.Shielded, plain(o.Reason))
	}
	_ = tw.Flush() // into memory: never fails
}

// sparkline is the throughput in at most 60 letters.
func sparkline(t Timeline) string {
	const most = 60
	levels := []rune("▁▂▃▄▅▆▇█")
	if len(t.Samples) == 0 {
		return ""
	}
	per := (len(t.Samples) + most - 1) / most
	var sums []int64
	for i, s := range t.Samples {
		if i%per == 0 {
			sums = append(sums, 0)
		}
		sums[len(sums)-1] += s.OK
	}
	if len(t.Samples)%per != 0 && len(sums) > 1 {
		sums = sums[:len(sums)-1] // an incomplete one would look like a fall
	}
	top := int64(1)
	for _, s := range sums {
		top = max(top, s)
	}
	var b strings.Builder
	for _, s := range sums {
		b.WriteRune(levels[s*int64(len(levels)-1)/top])
	}
	return b.String()
}

// plain keeps names from steering a terminal or breaking a table.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '\uFFFD'
		}
		return r
	}, s)
}
