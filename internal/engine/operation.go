package engine

import (
	"context"

	"godwit/internal/api"
)

// operation is something that changes what runs. What is nil is left out.
type operation struct {
	name string
	// world finds what it works on; nil: what is up.
	world func(ctx context.Context, sink api.Sink) (*world, error)
	// environments that it is about; those of others may be worked on meanwhile.
	// None: all of them.
	environments []string
	// rollout is the service that it rolls out: whoever gives that up may end it.
	rollout string
	// apart: what was under way before is not settled first.
	apart bool
	// migration is the name of the one that it is about.
	migration string
	// may refuses what cannot be meant, before anything is settled, opened or begun.
	may func(w *world, m *migration) error
	// links says which ways to the migration's databases it needs.
	links opening
	do    func(ctx context.Context, w *world, m *migration, sink api.Sink) error
}

// operate does an operation: it claims the right to change things, refuses it or
// settles what was under way, opens what is needed, does it, closes that again and
// gives the right back. What it says is in the engine's log too, as are its begin
// and its end, and secrets are in none of it.
func (e *Engine) operate(ctx context.Context, o operation, sink api.Sink) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	right := &claim{name: o.name, environments: o.environments}
	if o.rollout != "" {
		right.end, right.service = end, o.rollout
	}
	if err := e.claim(ctx, right); err != nil {
		return err
	}
	defer e.giveBack(right)
	e.log.Info("operation begins", "operation", o.name)
	if err := e.attempt(ctx, o, e.logged(sink)); err != nil {
		err = e.secrets.concealError(err)
		e.log.Warn("operation failed", "operation", o.name, "error", err)
		return err
	}
	e.log.Info("operation done", "operation", o.name)
	return nil
}

func (e *Engine) attempt(ctx context.Context, o operation, sink api.Sink) error {
	w, err := e.scene(ctx, o, sink)
	if err != nil {
		return err
	}
	m, err := e.allowed(ctx, w, o)
	if err != nil {
		return err // and nothing was settled for it
	}
	if !o.apart {
		if err := e.settleFor(ctx, w, o.environments, sink); err != nil {
			return err
		}
		if m, err = e.allowed(ctx, w, o); err != nil { // what was settled may be a switch of this migration
			return err
		}
	}
	if o.links != nil {
		if err := o.links(ctx, m); err != nil {
			return err
		}
		defer func() { m.links.close() }() // which may not be those that were opened first
	}
	return o.do(ctx, w, m, sink)
}

// allowed finds the migration that an operation is about, as it stands now, and
// refuses what cannot be meant there.
func (e *Engine) allowed(ctx context.Context, w *world, o operation) (m *migration, err error) {
	if o.migration != "" {
		if m, err = e.migration(ctx, w, o.migration); err != nil {
			return nil, err
		}
	}
	if o.may == nil {
		return m, nil
	}
	return m, o.may(w, m)
}

// scene is the world that an operation works on.
func (e *Engine) scene(ctx context.Context, o operation, sink api.Sink) (*world, error) {
	if o.world != nil {
		return o.world(ctx, sink)
	}
	return e.current()
}
