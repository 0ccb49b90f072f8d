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
	return m.rejoinNow(ctx)
}

// rejoinNow is for who does nothing else in the migration; its links are open.
// Busy when an operation is under way.
func (m *migration) rejoinNow(ctx context.Context) error {
	e := m.engine
	right := &claim{name: "keeping the streams of migration " + m.Name, brief: true}
	if err := e.claim(ctx, right); err != nil {
		return err
	}
	defer e.giveBack(right)
	defer m.links.close() // before the right is given back: whoever has it next wants the locks
	if err := m.load(ctx); err != nil || !m.state.underWay() {
		return err // it ended meanwhile
	}
	limit, cancel := context.WithTimeout(ctx, e.patience)
	defer cancel()
	return m.rejoin(limit)
}

// rejoin tells both sides how the other is reached now. What has not changed goes
// on undisturbed.
func (m *migration) rejoin(ctx context.Context) error {
	if err := migrate.Rejoin(ctx, m.links.writers); err != nil {
		return fmt.Errorf("telling both sides how the other is reached: %w", err)
	}
	return nil
}
