package engine

import (
	"context"
	"fmt"
	"time"

	"godwit/internal/landscape"
	"godwit/internal/migrate"
)

// streamsCheck is how often the streams between both sides learn how the other
// is reached now: a password that AWS rotates must not end a way back.
const streamsCheck = 15 * time.Minute

// keepStreams keeps the streams of migrations joined until ctx ends.
func (e *Engine) keepStreams(ctx context.Context) {
	every(ctx, streamsCheck, func() {
		w, err := e.current()
		if err != nil || e.busy() {
			return // whoever is under way joins what it needs
		}
		for _, m := range w.landscape.Migrations {
			if err := e.rejoinIdle(ctx, w, m); err != nil && ctx.Err() == nil {
				e.log.Error("streams", "migration", m.Name, "error", err)
			}
		}
	})
}

// rejoinIdle asks the site before it claims anything, so that no command finds
// the engine busy because AWS is slow.
func (e *Engine) rejoinIdle(ctx context.Context, w *world, m landscape.Migration) error {
	state, err := e.migrationState(ctx, w, m.Name)
	if err != nil || !w.fronted() || !state.underWay() {
		return err
	}
	b, err := e.bridges(ctx, w, m)
	if err != nil {
		return err
	}
	defer b.close()
	giveBack, err := e.claim("keeping the streams of migration " + m.Name)
	if err != nil {
		return nil
	}
	defer giveBack()
	if now, err := e.migrationState(ctx, w, m.Name); err != nil || !now.underWay() {
		return err // it ended meanwhile
	}
	limit, cancel := context.WithTimeout(ctx, e.patience)
	defer cancel()
	return w.rejoin(limit, b)
}

// rejoin is for sites of whose passwords others dispose.
func (w *world) rejoin(ctx context.Context, b *bridges) error {
	if !w.fronted() {
		return nil
	}
	if err := migrate.Rejoin(ctx, b.list); err != nil {
		return fmt.Errorf("telling both sides how the other is reached: %w", err)
	}
	return nil
}
