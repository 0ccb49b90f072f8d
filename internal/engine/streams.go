package engine

import (
	"context"
	"fmt"
	"time"

	"godwit/internal/migrate"
)

// streamsCheck is how often the streams between both sides learn how the other
// is reached now: a password that AWS rotates must not end a way back.
const streamsCheck = 15 * time.Minute

// relayCheck is how often the ways between both sides are looked at.
const relayCheck = 5 * time.Second

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

// keepRelay opens the relays of a migration again where they have ended, whatever
// runs meanwhile.
func (e *Engine) keepRelay(ctx context.Context, w *world, name string) error {
	e.relays.Lock()
	defer e.relays.Unlock()
	m, err := e.migration(ctx, w, name)
	if err != nil || !m.state.underWay() {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, relayCheck)
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
	return nil
}

// keepStreams keeps the streams of migrations joined until ctx ends.
func (e *Engine) keepStreams(ctx context.Context) {
	every(ctx, streamsCheck, func() {
		w, err := e.current()
		if err != nil {
			return
		}
		for _, m := range w.landscape.Migrations {
			err := e.rejoinIdle(ctx, w, m.Name)
			for isBusy(err) && e.idle(ctx) == nil {
				err = e.rejoinIdle(ctx, w, m.Name)
			}
			if err != nil && ctx.Err() == nil {
				e.log.Error("streams", "migration", m.Name, "error", err)
			}
		}
	})
}

// rejoinIdle asks the site before it claims anything, so that no command finds
// the engine busy because AWS is slow. Busy when an operation is under way.
func (e *Engine) rejoinIdle(ctx context.Context, w *world, name string) error {
	m, err := e.migration(ctx, w, name)
	if err != nil || !w.fronted() || !m.state.underWay() {
		return err
	}
	if err := whole(ctx, m); err != nil {
		return err
	}
	defer m.links.close()
	right := &claim{name: "keeping the streams of migration " + m.Name, brief: true}
	if err := e.claim(ctx, right); err != nil {
		return err
	}
	defer e.giveBack(right)
	if err := m.load(ctx); err != nil || !m.state.underWay() {
		return err // it ended meanwhile
	}
	limit, cancel := context.WithTimeout(ctx, e.patience)
	defer cancel()
	return m.rejoin(limit)
}

// rejoin is for sites of whose passwords others dispose.
func (m *migration) rejoin(ctx context.Context) error {
	if !m.world.fronted() {
		return nil
	}
	if err := migrate.Rejoin(ctx, m.links.writers); err != nil {
		return fmt.Errorf("telling both sides how the other is reached: %w", err)
	}
	return nil
}
