package engine

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"godwit/internal/gateway"
	"godwit/internal/migrate"
)

// traffic is the gateway as a migration sees it: the hosts that it moves.
type traffic struct{ *migration }

// hold names the hold, so that a restarted engine finds it again.
func (t *traffic) hold() string { return "migration-" + t.Name }

func (t *traffic) routes(side migrate.Side) map[string]string {
	return migrationRoutes(t.world.landscape, t.Migration, side)
}

func (t *traffic) Hold(ctx context.Context, lease time.Duration, to migrate.Side) error {
	routes := t.routes(to)
	return t.engine.gateway.Hold(ctx, t.hold(), gateway.HoldRequest{Hosts: slices.Sorted(maps.Keys(routes)), LeaseMS: lease.Milliseconds(), ExpireRoutes: routes})
}

// settleTime is what requests that are in flight before a switch get to end: a
// slow upload is worth waiting for as long as nobody else waits with us.
const settleTime = 10 * time.Second

func (t *traffic) Settle(ctx context.Context) error {
	_, err := t.engine.gateway.Settled(ctx, slices.Sorted(maps.Keys(t.routes(migrate.Source))), settleTime)
	return err
}

func (t *traffic) Drained(ctx context.Context) error {
	return t.engine.gateway.Drained(ctx, t.hold())
}

// Route writes down who holds the truth before it turns the routes: both are
// done again together when the engine is killed in between.
func (t *traffic) Route(ctx context.Context, to migrate.Side) error {
	if err := t.save(ctx, func(s *migrationState) { s.turned(to) }); err != nil {
		return err
	}
	return t.engine.gateway.SetRoutes(ctx, t.routes(to))
}

// Release of a hold that is gone (the gateway was restarted, or the hold was
// released before the engine was killed) has nothing left to do.
func (t *traffic) Release(ctx context.Context) (migrate.Held, error) {
	h, err := t.engine.gateway.Release(ctx, t.hold())
	if errors.Is(err, gateway.ErrNotFound) {
		return migrate.Held{Expired: true}, nil
	}
	held := migrate.Held{Requests: h.Requests, Longest: h.Longest, Total: h.Total, Expired: h.Expired, Recalled: h.Recalled, EndedBy: h.EndedBy}
	for _, f := range h.Ended {
		held.Ended = append(held.Ended, migrate.Ended(f))
	}
	return held, err
}
