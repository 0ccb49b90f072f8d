package api

import (
	"time"

	"godwit/internal/journal"
)

// Timed does one piece of work and says so before and after.
func (s Sink) Timed(scope, step string, do func() error) error {
	start := time.Now()
	s.Event(Event{At: start, Scope: scope, Step: step, State: "begun"})
	err := do()
	e := Event{At: time.Now(), Scope: scope, Step: step, State: "done", MS: Milliseconds(time.Since(start))}
	if err != nil {
		e.State, e.Message = "failed", err.Error()
	}
	s.Event(e)
	return err
}

// Note says something that nobody has to do anything about.
func (s Sink) Note(scope, step, message string) {
	s.Event(Event{At: time.Now(), Scope: scope, Step: step, State: "note", Message: message})
}

// Steps shows a journal's events as progress.
func (s Sink) Steps(scope string) func(journal.Event) {
	return func(j journal.Event) {
		s.Event(Event{At: j.At, Scope: scope, Step: j.Step, State: string(j.Moment), Message: j.Error, MS: Milliseconds(j.Elapsed)})
	}
}

// Milliseconds is how durations travel.
func Milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
