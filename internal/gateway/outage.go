package gateway

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	// The first pause between two looks at a pool of which nobody could be reached,
	// and the longest, while somebody waits and later.
	firstKnock, eagerKnock, calmKnock = 5 * time.Millisecond, 25 * time.Millisecond, 500 * time.Millisecond
	// knockedAt is how many of a pool's endpoints one look tries.
	knockedAt = 4
)

// outage is a pool of which nobody can be reached, as while its environment is being
// brought back. Its requests wait at the gate, as in any hold, until somebody can be
// reached, the table changes, or they have waited for long enough; whoever comes
// after that is refused.
type outage struct {
	pool  *pool
	since time.Time
	hold  *hold
	stop  context.CancelFunc // of the looking
}

// outages are those of a gateway.
type outages struct {
	reach    func(context.Context, Endpoint) error
	patience time.Duration // of each request, and of an outage's hold
	room     room
	of       map[*pool]*outage // with control.mu
	stopping bool              // with control.mu
}

// await has what comes for a pool of which nobody could be reached wait at the
// gate. false: that has been so for too long.
func (c *control) await(p *pool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := c.outages.of[p]
	switch {
	case c.outages.stopping:
		return false
	case o == nil:
		o = c.beginOutage(p)
	case !o.hold.active():
		return false
	}
	for host, route := range c.table.Routes {
		if c.pools[route.Pool] == p {
			o.hold.close(c.lanes[host])
		}
	}
	return true
}

// close closes the gate of a lane that is open. Where it is held already, who waits
// there comes here later; a hold that has just ended is not left there.
func (h *hold) close(l *lane) {
	if l.hold.CompareAndSwap(nil, h) && !h.active() {
		l.hold.CompareAndSwap(h, nil)
	}
}

// beginOutage begins to look for somebody who can be reached. c.mu is held.
func (c *control) beginOutage(p *pool) *outage {
	var lanes []*lane
	for host, route := range c.table.Routes {
		if c.pools[route.Pool] == p {
			lanes = append(lanes, c.lanes[host])
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	o := &outage{pool: p, since: time.Now(), stop: stop, hold: newHold("outage of "+p.name, nil, lanes, &c.outages.room, &c.tasks)}
	o.hold.timer = time.AfterFunc(c.outages.patience, func() { o.hold.end(true, releasing) })
	c.outages.of[p] = o
	c.log.Warn("none of a pool's endpoints can be reached: its requests wait", "pool", p.name, "at_most", c.outages.patience)
	c.tasks.Go(func() { c.seek(ctx, o) })
	return o
}

// seek looks again and again, until somebody is reached or ctx ends.
func (c *control) seek(ctx context.Context, o *outage) {
	defer o.stop()
	pause := firstKnock
	for !c.reached(ctx, o.pool) {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
		longest := eagerKnock
		if !o.hold.active() {
			longest = calmKnock
		}
		pause = min(2*pause, longest)
	}
	if ctx.Err() != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.log.Warn("a pool can be reached again", "pool", o.pool.name, "after", time.Since(o.since))
	c.endOutage(o)
}

// reached tries some endpoints of a pool side by side: one that hangs must not hide
// the others.
func (c *control) reached(ctx context.Context, p *pool) bool {
	var all []Endpoint
	for _, sh := range p.state.Load().shares {
		for _, e := range sh.endpoints {
			all = append(all, e.Endpoint)
		}
	}
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	all = all[:min(len(all), knockedAt)]
	ctx, cancel := context.WithCancel(ctx)
	var knocking sync.WaitGroup
	defer knocking.Wait()
	defer cancel()
	answers := make(chan error, len(all))
	for _, e := range all {
		knocking.Go(func() { answers <- c.outages.reach(ctx, e) })
	}
	for range all {
		if <-answers == nil {
			return true
		}
	}
	return false
}

// endOutage lets those who wait look again. c.mu is held.
func (c *control) endOutage(o *outage) {
	if c.outages.of[o.pool] != o {
		return
	}
	delete(c.outages.of, o.pool)
	o.stop()
	o.hold.end(false, releasing)
}

// lookAgain ends all outages: what the table says has changed, or who holds whom.
// What still cannot be reached is found again. c.mu is held.
func (c *control) lookAgain() {
	for _, o := range c.outages.of {
		c.endOutage(o)
	}
}

// stopOutages refuses those who wait. c.mu is held.
func (c *control) stopOutages() {
	c.outages.stopping = true
	for _, o := range c.outages.of {
		o.stop()
		o.hold.end(false, aborted)
	}
}
