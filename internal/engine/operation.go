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

// begin claims the right to change things; the caller ends it. Errors: a Busy
// Failure that names what is under way.
func (o *operation) begin(name string) (end func(), err error) {
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
