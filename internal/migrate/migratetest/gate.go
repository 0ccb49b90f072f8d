package migratetest

import (
	"context"
	"errors"
	"sync"
	"time"

	"godwit/internal/migrate"
)

// Gate is a migrate.Traffic over functions of this process: what the gateway
// is over requests.
type Gate struct {
	mu       sync.Mutex
	changed  chan struct{} // closed and replaced at every change
	side     migrate.Side
	held     bool
	since    time.Time
	lease    *time.Timer
	then     migrate.Side // where requests go when the lease ends
	expired  bool         // it has, and was not released since
	inFlight int
	last     migrate.Held
}

// NewGate routes to side.
func NewGate(side migrate.Side) *Gate { return &Gate{side: side, changed: make(chan struct{})} }

func (g *Gate) change() {
	close(g.changed)
	g.changed = make(chan struct{})
}

// wait waits, holding mu, until a condition holds.
func (g *Gate) wait(ctx context.Context, holds func() bool) error {
	for !holds() {
		changed := g.changed
		g.mu.Unlock()
		select {
		case <-ctx.Done():
			g.mu.Lock()
			return context.Cause(ctx)
		case <-changed:
		}
		g.mu.Lock()
	}
	return nil
}

// Do does a request on the side that the route points to, after any hold.
func (g *Gate) Do(ctx context.Context, request func(migrate.Side) error) error {
	g.mu.Lock()
	arrived, waited := time.Now(), g.held
	if err := g.wait(ctx, func() bool { return !g.held }); err != nil {
		g.mu.Unlock()
		return err
	}
	if waited {
		g.last.Requests++
		g.last.Longest = max(g.last.Longest, time.Since(arrived))
	}
	g.inFlight++
	side := g.side
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		g.inFlight--
		g.change()
		g.mu.Unlock()
	}()
	return request(side)
}

// Hold implements migrate.Traffic.
func (g *Gate) Hold(_ context.Context, lease time.Duration, to migrate.Side) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.expired {
		return errors.New("the hold has ended by itself")
	}
	if !g.held {
		g.held, g.since, g.last = true, time.Now(), migrate.Held{}
	}
	if g.lease != nil {
		g.lease.Stop()
	}
	g.then = to
	g.lease = time.AfterFunc(lease, g.expire)
	g.change()
	return nil
}

func (g *Gate) expire() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.held {
		g.side = g.then
		g.held, g.expired, g.last.Expired, g.last.Total = false, true, true, time.Since(g.since)
		g.change()
	}
}

// Settle implements migrate.Traffic: no request here takes long.
func (g *Gate) Settle(context.Context) error { return nil }

// Drained implements migrate.Traffic.
func (g *Gate) Drained(ctx context.Context) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.wait(ctx, func() bool { return g.inFlight == 0 })
}

// Route implements migrate.Traffic.
func (g *Gate) Route(_ context.Context, to migrate.Side) error {
	if to != migrate.Source && to != migrate.Target {
		return errors.New("no such side")
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.side = to
	return nil
}

// Release implements migrate.Traffic.
func (g *Gate) Release(context.Context) (migrate.Held, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.lease != nil {
		g.lease.Stop()
	}
	g.expired = false
	if g.held {
		g.held, g.last.Total = false, time.Since(g.since)
		g.change()
	}
	return g.last, nil
}

// Side that the route points to.
func (g *Gate) Side() migrate.Side {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.side
}
