package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"godwit/internal/report"
)

// spread is the median and the maximum of something over many runs, in ms.
type spread struct {
	Median float64   `json:"median_ms"`
	Max    float64   `json:"max_ms"`
	All    []float64 `json:"all_ms"`
}

// summaryReport sums up many demos.
type summaryReport struct {
	Runs       int               `json:"runs"`
	Bad        int               `json:"bad"`
	Sent       int64             `json:"sent"`
	Failed     int64             `json:"failed"`
	Missing    int64             `json:"missing"`
	Duplicated int64             `json:"duplicated"`
	Gaps       int64             `json:"receipt_gaps"`
	Breaks     int64             `json:"chain_breaks"`
	Wrong      int               `json:"isolation_wrong"`
	Acked      int64             `json:"acknowledged"`
	Pauses     map[string]spread `json:"write_pauses"`
	Steps      map[string]spread `json:"steps"` // "cutover fence" …
}

// summary sums up the reports of many demos.
func (g *globals) sumUp(files []string) error {
	s := summaryReport{Pauses: map[string]spread{}, Steps: map[string]spread{}}
	var order []string
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		var r report.Report
		if err := json.Unmarshal(b, &r); err != nil {
			return fmt.Errorf("%s is not a report: %w", name, err)
		}
		s.add(&r)
		order = s.addMove(order, "cutover", r.Cutover)
		order = s.addMove(order, "rollback", r.Rollback)
	}
	for _, m := range []map[string]spread{s.Pauses, s.Steps} {
		for k, v := range m {
			m[k] = v.settle()
		}
	}
	g.view.result(s, func(w io.Writer) { s.write(w, order) })
	if s.Bad > 0 {
		return &reported{errors.New("not every demo was good")}
	}
	return nil
}

func (s *summaryReport) add(r *report.Report) {
	s.Runs++
	if r.Verdict != report.OK {
		s.Bad++
	}
	s.Sent += r.Requests.Sent
	s.Failed += r.Requests.Failed
	if l := r.Ledger; l != nil {
		s.Acked += l.Acknowledged
		s.Missing += l.Missing
		s.Duplicated += l.Duplicated
		s.Gaps += l.ReceiptGaps
		s.Breaks += l.ChainBreaks
	}
	if i := r.Isolation; i != nil {
		s.Wrong += i.Wrong
	}
}

func (s *summaryReport) addMove(order []string, name string, m *report.Move) []string {
	if m == nil {
		return order
	}
	s.Pauses[name] = s.Pauses[name].with(m.WritePauseMS)
	for _, step := range m.Steps {
		key := name + " " + step.Name
		if _, ok := s.Steps[key]; !ok {
			order = append(order, key)
		}
		s.Steps[key] = s.Steps[key].with(step.MS)
	}
	return order
}

func (s spread) with(ms float64) spread {
	s.All = append(s.All, ms)
	return s
}

func (s spread) settle() spread {
	sorted := slices.Sorted(slices.Values(s.All))
	s.Median, s.Max = sorted[len(sorted)/2], sorted[len(sorted)-1]
	return s
}

func (s summaryReport) write(w io.Writer, order []string) {
	fmt.Fprintf(w, "%d runs, %d bad: %d requests, %d failed; %d writes acknowledged, %d missing, %d doubled, %d gaps, %d chain breaks; isolation %d wrong\n",
		s.Runs, s.Bad, s.Sent, s.Failed, s.Acked, s.Missing, s.Duplicated, s.Gaps, s.Breaks, s.Wrong)
	for _, name := range []string{"cutover", "rollback"} {
		if p, ok := s.Pauses[name]; ok {
			fmt.Fprintf(w, "write pause of %-9s median %6.1f ms, max %6.1f ms: %.1f\n", name, p.Median, p.Max, p.All)
		}
	}
	for _, name := range order {
		fmt.Fprintf(w, "  %-22s median %6.1f ms, max %6.1f ms\n", name, s.Steps[name].Median, s.Steps[name].Max)
	}
}
