package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"godwit/internal/api"
	"godwit/internal/migrate/postgres"
)

// deathsTolerated is how often in a row something is begun afresh because its
// environment, or a database there, was away: more have a cause that stays.
const deathsTolerated = 5

// afresh does something that may be begun again where it ended: when the environment
// has died, or its database was away, it waits within healPatience until both are
// back, opens the links again and goes on.
func (m *migration) afresh(ctx context.Context, sink api.Sink, do func(context.Context) error) error {
	h := m.engine.healers.of(m.Environment)
	for deaths := 1; ; deaths++ {
		if h == nil {
			return do(ctx)
		}
		life := h.now()
		err := do(ctx)
		if err == nil || ctx.Err() != nil || deaths > deathsTolerated {
			return err
		}
		away := errors.Is(err, postgres.ErrUnreachable) && !errors.Is(err, postgres.ErrSource)
		if !h.met(ctx, life) && !away {
			return err
		}
		sink.Note(m.scope(), "waiting", "environment "+m.Environment+" or its database was away; going on when it is back")
		m.engine.log.Warn("going on when the environment is back", "migration", m.Name, "environment", m.Environment, "error", m.engine.secrets.concealError(err))
		if waited := m.awaitBack(ctx); waited != nil {
			return errors.Join(err, waited)
		}
	}
}

// awaitBack waits until the environment and its databases answer, and opens the links
// to them.
func (m *migration) awaitBack(ctx context.Context) error {
	patience, cancel := context.WithTimeoutCause(ctx, healPatience, fmt.Errorf("waited for %v", healPatience))
	defer cancel()
	tick := time.NewTicker(pulseEvery)
	defer tick.Stop()
	for {
		o, err := m.engine.healed(m.world).Observe(patience, m.Environment)
		ready := err == nil
		for _, d := range o.Databases {
			ready = ready && d.Ready
		}
		if ready {
			m.links.close()
			return whole(ctx, m)
		}
		select {
		case <-tick.C:
		case <-patience.Done():
			return errors.Join(err, fmt.Errorf("environment %s is not back yet: %w", m.Environment, context.Cause(patience)))
		}
	}
}
