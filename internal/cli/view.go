package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"godwit/internal/api"
	"godwit/internal/api/client"
	"godwit/internal/landscape"
	"godwit/internal/quote"
)

// view is what people and programs see: results on stdout, progress and errors
// on stderr, colours only where a terminal shows them.
type view struct {
	mu          sync.Mutex
	out, err    io.Writer
	json, quiet bool
	color       bool // of stderr
	outColor    bool
	broken      error // of writing to out: a result that nobody got is a failure
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
	fmt.Fprintln(v.err, quote.Painted(fmt.Sprintf(format, args...)))
}

// result prints a command's result: as JSON, or as the human function has it.
func (v *view) result(value any, human func(w io.Writer)) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.json {
		return v.document(value)
	}
	var text bytes.Buffer
	human(&text)
	return v.write([]byte(quote.Painted(text.String())))
}

// document prints one JSON document.
func (v *view) document(value any) error {
	b, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	return v.write(append(b, '\n'))
}

func (v *view) write(b []byte) error {
	if _, err := v.out.Write(b); err != nil && v.broken == nil {
		v.broken = fmt.Errorf("the result could not be written: %w", err)
	}
	return v.broken
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
	if message, _, more := strings.Cut(e.Message, "\n"); message != "" {
		if more {
			message += " …" // the command's failure has all of it
		}
		line += " " + v.paint(grey, message)
	}
	if e.MS > 0 && e.State != "begun" {
		line += v.paint(grey, fmt.Sprintf(" (%s)", milliseconds(e.MS)))
	}
	v.note("%s", line)
}

func milliseconds(ms float64) string {
	switch {
	case ms >= 60_000:
		return (time.Duration(ms) * time.Millisecond).Round(time.Second).String()
	case ms >= 1000:
		return fmt.Sprintf("%.1f s", ms/1000)
	}
	return fmt.Sprintf("%.1f ms", ms)
}

// count is a number of things, in words that fit one of them too.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// failure says what went wrong: to people on stderr, to programs also as JSON on stdout.
func (v *view) failure(err error) {
	if errors.Is(err, errChangesPending) || errors.Is(err, errReported) {
		return
	}
	f := asFailure(err)
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.json {
		_ = v.document(map[string]*api.Failure{"failure": f}) // stderr has it too
	}
	if len(f.Findings) > 0 {
		v.findings(f.Findings)
		return
	}
	fmt.Fprintf(v.err, "%s %s\n", v.paint(red, "godwit:"), quote.Terminal(f.Message))
}

// findings say on stderr what is wrong. Names in them may be those that a stranger
// has given to a table. v.mu is held.
func (v *view) findings(all landscape.Findings) {
	var text bytes.Buffer
	all.Format(&text, v.color)
	fmt.Fprint(v.err, quote.Painted(text.String()))
}

// errReported fails a command whose result has already said why.
var errReported = errors.New("see the report above")
