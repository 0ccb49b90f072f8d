package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/term"

	"godwit/internal/api"
	"godwit/internal/api/client"
)

// view is what people and programs see: results on stdout, progress and errors
// on stderr, colours only where a terminal shows them.
type view struct {
	mu          sync.Mutex
	out, err    io.Writer
	json, quiet bool
	color       bool // of stderr
	outColor    bool
}

func newView(stdout, stderr io.Writer) *view {
	return &view{out: stdout, err: stderr, color: colorful(stderr), outColor: colorful(stdout)}
}

func colorful(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

const (
	red    = "31"
	green  = "32"
	yellow = "33"
	grey   = "90"
)

func (v *view) paint(code, text string) string {
	if !v.color {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// note writes one line of progress.
func (v *view) note(format string, args ...any) {
	if v.quiet {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	fmt.Fprintf(v.err, format+"\n", args...)
}

// result prints a command's result: as JSON, or as the human function has it.
func (v *view) result(value any, human func(w io.Writer)) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.json {
		e := json.NewEncoder(v.out)
		e.SetIndent("", "  ")
		return e.Encode(value)
	}
	human(v.out)
	return nil
}

// watch shows events as lines of progress.
func (v *view) watch() client.Watch {
	return client.Watch{Event: v.event}
}

func (v *view) event(e api.Event) {
	mark := map[string]string{
		"begun": v.paint(grey, "…"), "done": v.paint(green, "✓"), "failed": v.paint(red, "✗"),
		"undoing": v.paint(yellow, "↩"), "undone": v.paint(yellow, "↩"),
	}[e.State]
	if mark == "" {
		mark = v.paint(grey, "·")
	}
	line := fmt.Sprintf("%s %-24s %s", mark, e.Scope, e.Step)
	if e.Message != "" {
		line += " " + v.paint(grey, e.Message)
	}
	if e.MS > 0 && e.State != "begun" {
		line += v.paint(grey, fmt.Sprintf(" (%s)", milliseconds(e.MS)))
	}
	v.note("%s", line)
}

func milliseconds(ms float64) string {
	if ms >= 1000 {
		return fmt.Sprintf("%.1f s", ms/1000)
	}
	return fmt.Sprintf("%.1f ms", ms)
}

// failure says what went wrong: to people on stderr, to programs also as JSON on stdout.
func (v *view) failure(err error) {
	if errors.Is(err, errChangesPending) || errors.Is(err, errReported) {
		return
	}
	f := api.AsFailure(err)
	var found *findingsError
	if errors.As(err, &found) {
		f = &api.Failure{Code: api.Usage, Message: err.Error(), Findings: found.findings}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.json {
		json.NewEncoder(v.out).Encode(map[string]*api.Failure{"failure": f})
	}
	if len(f.Findings) > 0 {
		f.Findings.Format(v.err, v.color)
		return
	}
	fmt.Fprintf(v.err, "%s %s\n", v.paint(red, "godwit:"), f.Message)
}

// errReported fails a command whose result has already said why.
var errReported = errors.New("see the report above")
