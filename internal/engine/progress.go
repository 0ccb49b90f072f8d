package engine

import (
	"errors"
	"time"

	"godwit/internal/api"
	"godwit/internal/journal"
	"godwit/internal/site"
)

// timed does one piece of work and says so before and after.
func timed(sink api.Sink, scope, step string, do func() error) error {
	start := time.Now()
	sink.Event(api.Event{At: start, Scope: scope, Step: step, State: "begun"})
	err := do()
	e := api.Event{At: time.Now(), Scope: scope, Step: step, State: "done", MS: ms(time.Since(start))}
	if err != nil {
		e.State, e.Message = "failed", err.Error()
	}
	sink.Event(e)
	return err
}

// note says something that nobody has to do anything about.
func note(sink api.Sink, scope, step, message string) {
	sink.Event(api.Event{At: time.Now(), Scope: scope, Step: step, State: "note", Message: message})
}

// steps shows a journal's events as progress.
func steps(sink api.Sink, scope string) func(journal.Event) {
	return func(j journal.Event) {
		sink.Event(api.Event{At: j.At, Scope: scope, Step: j.Step, State: string(j.Moment), Message: j.Error, MS: ms(j.Elapsed)})
	}
}

// logged sends what goes to a sink to the engine's log too, where an auditor
// finds it, and keeps secrets out of both.
func (e *Engine) logged(sink api.Sink) api.Sink {
	log := e.logSink()
	return api.Sink{Row: sink.Row, Event: func(v api.Event) {
		v.Message = e.secrets.conceal(v.Message)
		log.Event(v)
		sink.Event(v)
	}}
}

// logSink shows progress in the engine's log.
func (e *Engine) logSink() api.Sink {
	return api.Sink{
		Event: func(v api.Event) {
			e.log.Info("progress", "scope", v.Scope, "step", v.Step, "state", v.State, "message", e.secrets.conceal(v.Message), "ms", v.MS)
		},
		Row: func(any) {},
	}
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func isNotFound(err error) bool { return errors.Is(err, site.ErrNotFound) }
