package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"godwit/internal/pipeline"
	"godwit/internal/quote"
)

func interactive(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// board shows a run while it runs: on a terminal one line for each unit under
// way, which changes in place; elsewhere every line of output.
type board struct {
	v     *view
	run   *pipeline.Run
	live  *os.File // the terminal, nil elsewhere
	mu    sync.Mutex
	rows  []*row
	drawn int // lines on the terminal that change
	stop  chan struct{}
	done  sync.WaitGroup
}

// row is a unit under way.
type row struct {
	unit  pipeline.Unit
	since time.Time
	last  string
}

// redraw is how often a live view changes.
const redraw = 250 * time.Millisecond

func newBoard(v *view, run *pipeline.Run) *board {
	b := &board{v: v, run: run, stop: make(chan struct{})}
	if f, ok := v.err.(*os.File); ok && v.color && !v.quiet {
		b.live = f
		b.done.Go(b.tick)
	}
	return b
}

func (b *board) tick() {
	t := time.NewTicker(redraw)
	defer t.Stop()
	for {
		select {
		case <-b.stop:
			return
		case <-t.C:
			b.change(func() {})
		}
	}
}

func (b *board) close() {
	close(b.stop)
	b.done.Wait()
	b.change(func() { b.rows = nil })
}

// change does f between the lines that change in place.
func (b *board) change(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.live == nil {
		f()
		return
	}
	if b.drawn > 0 {
		fmt.Fprintf(b.live, "\x1b[%dA\x1b[J", b.drawn)
	}
	f()
	width, _, err := term.GetSize(int(b.live.Fd()))
	if err != nil || width < 20 {
		width = 80
	}
	var text bytes.Buffer
	for _, r := range b.rows {
		line := fmt.Sprintf("… %-24s %6s  %s", r.unit.Name(), time.Since(r.since).Round(time.Second), r.last)
		fmt.Fprintln(&text, cutTo(line, width-1))
	}
	b.drawn = len(b.rows)
	b.live.Write(text.Bytes())
}

func cutTo(line string, width int) string {
	if utf8.RuneCountInString(line) <= width {
		return line
	}
	return string([]rune(line)[:width-1]) + "…"
}

func (b *board) event(e pipeline.Event) {
	b.change(func() {
		switch e.Moment {
		case pipeline.Begun, pipeline.Attached:
			b.rows = append(b.rows, &row{unit: e.Unit, since: time.Now()})
			if b.live == nil {
				word := ""
				if e.Moment == pipeline.Attached {
					word = " attached: it is under way, or has just ended"
				}
				b.v.note("… %s%s", e.Unit.Name(), word)
			}
		case pipeline.Line:
			b.line(e)
		case pipeline.Asked:
			b.v.note("? %s: %s", e.Unit.Name(), e.Text)
		case pipeline.Ended:
			b.rows = slices.DeleteFunc(b.rows, func(r *row) bool { return r.unit == e.Unit })
			b.ended(e.Result)
		}
	})
}

func (b *board) line(e pipeline.Event) {
	if b.live == nil {
		b.v.note("%s | %s", e.Unit.Name(), e.Text)
		return
	}
	for _, r := range b.rows {
		if r.unit == e.Unit {
			r.last = e.Text
		}
	}
}

func (b *board) ended(res pipeline.Result) {
	mark := b.v.paint(red, "✗")
	switch res.Status {
	case pipeline.Done:
		mark = b.v.paint(green, "✓")
	case pipeline.Skipped:
		mark = b.v.paint(grey, "·")
	case pipeline.Interrupted:
		mark = b.v.paint(yellow, "↩")
	}
	line := fmt.Sprintf("%s %s", mark, res.Name())
	if d := res.Elapsed(); d > 0 && res.Status != pipeline.Skipped {
		line += b.v.paint(grey, fmt.Sprintf(" (%s)", milliseconds(float64(d)/float64(time.Millisecond))))
	}
	if res.Reason != "" {
		line += " " + b.v.paint(grey, res.Reason)
	}
	b.v.note("%s", line)
}

// tails shows how the logs of failed units end, where they were not shown while they ran.
func (b *board) tails(f *pipeline.Failure) {
	const lines = 15
	for _, u := range f.Units {
		last, err := b.run.Tail(u.Unit, lines)
		if err != nil || len(last) == 0 || b.live == nil && !b.v.quiet {
			continue // a log that cannot be read is not why it failed
		}
		fmt.Fprintf(b.v.err, "--- the end of %s ---\n%s\n", u.Name(), quote.Painted(strings.Join(last, "\n")))
	}
}

// ask asks the person at the terminal, until they answer or ctx ends: the answer
// may come from elsewhere.
func (b *board) ask(ctx context.Context, _ string) (approved, answered bool) {
	fd := int(os.Stdin.Fd())
	fmt.Fprint(b.v.err, "  yes or no: ")
	var line []byte
	for ctx.Err() == nil {
		ready := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		if n, err := unix.Poll(ready, int(redraw/time.Millisecond)); n == 0 || err == unix.EINTR {
			continue
		}
		var some [64]byte
		n, err := os.Stdin.Read(some[:])
		line = append(line, some[:n]...)
		text, _, whole := strings.Cut(string(line), "\n")
		switch word := strings.ToLower(strings.TrimSpace(text)); {
		case err == io.EOF || err != nil:
			return false, false
		case !whole:
		case word == "yes" || word == "y":
			return true, true
		case word == "no" || word == "n":
			return false, true
		default:
			line = nil
			fmt.Fprint(b.v.err, "  yes or no: ")
		}
	}
	fmt.Fprintln(b.v.err)
	return false, false
}
