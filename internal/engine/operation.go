package engine

import (
	"sync"

	"godwit/internal/api"
)

// operation lets one change happen at a time: a rollout during a cutover would
// move what the cutover is waiting for.
type operation struct {
	guard  sync.Mutex
	active string
}

// claim is the right to change things; the caller gives it back. Errors: a Busy
// Failure that names what is under way.
func (o *operation) claim(name string) (giveBack func(), err error) {
	o.guard.Lock()
	defer o.guard.Unlock()
	if o.active != "" {
		return nil, api.Fail(api.Busy, "%s is under way; wait for it, or end it with Ctrl-C where it runs, then run this again", o.active)
	}
	o.active = name
	return func() {
		o.guard.Lock()
		defer o.guard.Unlock()
		o.active = ""
	}, nil
}

// underWay names the operation that runs; "" when none does.
func (o *operation) underWay() string {
	o.guard.Lock()
	defer o.guard.Unlock()
	return o.active
}

// busy reports whether an operation is under way.
func (o *operation) busy() bool { return o.underWay() != "" }

// begin begins an operation that changes things. What it says through the sink
// that it gets is in the engine's log too, and so are its begin and its end; end
// takes the operation's error and keeps secrets out of it.
func (e *Engine) begin(name string, sink api.Sink) (both api.Sink, end func(*error), err error) {
	giveBack, err := e.claim(name)
	if err != nil {
		return sink, nil, err
	}
	e.log.Info("operation begins", "operation", name)
	return e.logged(sink), func(err *error) {
		defer giveBack()
		if *err == nil {
			e.log.Info("operation done", "operation", name)
			return
		}
		*err = e.secrets.concealError(*err)
		e.log.Warn("operation failed", "operation", name, "error", *err)
	}, nil
}
