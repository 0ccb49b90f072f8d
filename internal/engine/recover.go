package engine

import (
	"context"
	"errors"
	"fmt"
)

// recover finds again what the last engine left running, and finishes or undoes
// what it was doing.
func (e *Engine) recover(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, recoverTimeout)
	defer cancel()
	s, found, err := e.loadSettings(ctx)
	if err != nil {
		return e.troubled(err)
	}
	if !found {
		return nil
	}
	// First of all, from its last table: clients need neither the landscape nor its site.
	starts := e.ensureGateway(ctx, s.Listen)
	if starts != nil {
		e.keeper.want(s.Listen) // its address may become free
	}
	w, err := e.lastWorld(ctx, s)
	if err != nil {
		return errors.Join(starts, e.troubled(err))
	}
	e.setWorld(w)
	if err := e.keepAlive(ctx, w); err != nil {
		return errors.Join(starts, err)
	}
	if starts != nil {
		return starts
	}
	return e.settle(ctx, w, e.logSink())
}

// troubled keeps why the world of the last engine could not be taken up.
func (e *Engine) troubled(err error) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.trouble = err
	return err
}

// troubles is what troubled kept, "" when there is nothing.
func (e *Engine) troubles() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.trouble == nil {
		return ""
	}
	return fmt.Sprintf("what the last engine left could not be taken up: %v", e.trouble)
}

// lastWorld is the world of the last engine.
func (e *Engine) lastWorld(ctx context.Context, s settings) (*world, error) {
	e.secrets.keep(s.secrets())
	l, err := s.Landscape.parse()
	if err != nil {
		return nil, err
	}
	if err := s.bind(l); err != nil {
		return nil, err
	}
	w := &world{landscape: l, settings: s}
	return w, e.openSite(ctx, w, e.logSink())
}
