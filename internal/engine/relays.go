package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"godwit/internal/site"
)

const (
	// relayCheck is how often the ways between both sides are looked at.
	relayCheck = 5 * time.Second
	// relayStarts bounds a look, in which a relay may have to be started again.
	relayStarts = 30 * time.Second
)

// keepRelays keeps the ways of migrations under way open until ctx ends: nobody
// who only looks opens one.
func (e *Engine) keepRelays(ctx context.Context) {
	every(ctx, relayCheck, func() {
		w, err := e.current()
		if err != nil || w.fronted() {
			return // there is a network for it
		}
		for _, m := range w.landscape.Migrations {
			if err := e.keepRelay(ctx, w, m.Name); err != nil && ctx.Err() == nil {
				e.log.Warn("the way between both sides", "migration", m.Name, "error", err)
			}
		}
	})
}

// keepRelay opens the relays of a migration again where they have ended, or do
// not relay, whatever runs meanwhile.
func (e *Engine) keepRelay(ctx context.Context, w *world, name string) error {
	e.relays.Lock()
	defer e.relays.Unlock()
	m, err := e.migration(ctx, w, name)
	if err != nil || !m.state.underWay() {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, relayStarts)
	defer cancel()
	for _, d := range m.source().Databases {
		from, err := w.settings.database(d)
		if err != nil {
			return err
		}
		if _, err := m.openRelay(ctx, d.Name, from); err != nil {
			return fmt.Errorf("database %s: %w", d.Name, err)
		}
	}
	if keeper, ok := w.site.(site.RelayKeeper); ok {
		return keeper.KeepRelays(ctx, m.Environment, func(ctx context.Context) error { return e.tellMoved(ctx, w, name) })
	}
	return nil
}

// tellMoved tells both sides of a migration where its relays are reached now.
func (e *Engine) tellMoved(ctx context.Context, w *world, name string) error {
	m, err := e.migration(ctx, w, name)
	if err != nil {
		return err
	}
	if err := whole(ctx, m); err != nil {
		return err
	}
	defer m.links.close()
	return m.rejoinNow(ctx)
}

// relayTrouble is what is wrong with the ways between both sides, which are asked
// for a real answer. Nothing is opened or changed for that.
func (m *migration) relayTrouble(ctx context.Context) error {
	keeper, ok := m.world.site.(site.RelayKeeper)
	if !ok || !m.state.underWay() {
		return nil
	}
	var wrong []error
	for _, d := range m.source().Databases {
		state, err := keeper.RelayState(ctx, m.Environment, d.Name)
		if err = errors.Join(err, state.ToSource, state.ToTarget); err != nil {
			wrong = append(wrong, fmt.Errorf("the relay of database %s does not work: %w; the engine starts it again where that helps", d.Name, err))
		}
	}
	return errors.Join(wrong...)
}
