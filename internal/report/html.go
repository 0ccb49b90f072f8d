package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"time"
)

//go:embed page.html
var pageSource string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"ms":      millis,
	"n":       number,
	"ni":      func(n int) string { return number(int64(n)) },
	"seconds": seconds,
	"f":       func(v float64) string { return fmt.Sprintf("%.1f", v) },
	"g":       func(v float64) string { return fmt.Sprintf("%.4g", v) },
	"add":     func(a, b float64) float64 { return a + b },
	"sub":     func(a, b float64) float64 { return a - b },
	"share":   share,
	"time":    func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
}).Parse(pageSource))

// share is how much of a move a step took, as a width in percent.
func share(m *Move, s Step) string {
	total := 0.0
	for _, step := range m.Steps {
		total += step.MS
	}
	if total <= 0 {
		return "0"
	}
	return fmt.Sprintf("%.1f", 100*s.MS/total)
}

// namedMove is a move with its title.
type namedMove struct {
	Title string
	*Move
}

// WriteHTML writes the report as one file that needs nothing else: no script,
// no font, no network.
func (r Report) WriteHTML(w io.Writer) error {
	var moves []namedMove
	if r.Cutover != nil {
		moves = append(moves, namedMove{"Cutover", r.Cutover})
	}
	if r.Rollback != nil {
		moves = append(moves, namedMove{"Rollback", r.Rollback})
	}
	err := page.Execute(w, struct {
		Report
		Picture picture
		Moves   []namedMove
	}{r, draw(r.Timeline), moves})
	if err != nil {
		return fmt.Errorf("write report as HTML: %w", err)
	}
	return nil
}
