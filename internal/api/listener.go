package api

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// backlog is how many lines a client may be behind before progress is left out.
const backlog = 4096

// listener is a client that is told lines. Progress never waits for it: a command
// whose terminal is stopped, or whose output nobody reads, must not keep the steps
// of a cutover waiting.
type listener struct {
	lines chan *Line // nil is the end
	ended chan struct{}
	lost  atomic.Int64 // progress that was left out
}

// tellTo begins to tell; end waits until everything is told.
func tellTo(w io.Writer) *listener {
	l := &listener{lines: make(chan *Line, backlog), ended: make(chan struct{})}
	go l.write(w)
	return l
}

// progress is told when there is room for it.
func (l *listener) progress(e Event) {
	select {
	case l.lines <- &Line{Event: &e}:
	default:
		l.lost.Add(1)
	}
}

// tell waits for room.
func (l *listener) tell(line *Line) {
	select {
	case l.lines <- line:
	case <-l.ended:
	}
}

func (l *listener) end() {
	l.tell(nil)
	<-l.ended
}

// write writes each line at once. A client that is gone ends the operation through
// its context, so errors of writing need no second way out.
func (l *listener) write(w io.Writer) {
	defer close(l.ended)
	var failed error
	for line := <-l.lines; line != nil; line = <-l.lines {
		if failed != nil {
			continue
		}
		if n := l.lost.Swap(0); n > 0 {
			failed = l.encode(w, &Line{Event: &Event{At: time.Now(), Scope: "progress", State: "note", Message: fmt.Sprintf("%d lines were left out: nobody read them", n)}})
		}
		if failed == nil {
			failed = l.encode(w, line)
		}
	}
}

func (l *listener) encode(w io.Writer, line *Line) error {
	if err := json.NewEncoder(w).Encode(line); err != nil {
		return err
	}
	if f, ok := w.(http.Flusher); ok {
		f.Flush()
	}
	return nil
}
