package engine

import (
	"errors"

	"godwit/internal/api"
	"godwit/internal/site"
)

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

func isNotFound(err error) bool { return errors.Is(err, site.ErrNotFound) }
