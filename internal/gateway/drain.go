package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// drainTick is how often a drain looks again at what is in flight.
const drainTick = 5 * time.Millisecond

// endings are the requests that a drain took back or ended.
type endings struct {
	mu       sync.Mutex
	recalled int64
	ended    map[string]int64
	listed   []Flight
}

func (e *endings) tell(f Flight, fate error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if fate == errRecalled {
		e.recalled++
		return
	}
	if e.ended == nil {
		e.ended = map[string]int64{}
	}
	e.ended[f.State]++
	if len(e.listed) < maxListed {
		e.listed = append(e.listed, f)
	}
}

// drainage disturbs, once grace is over, what keeps somebody waiting, again and
// again until it is stopped: a request may come to where it can be ended later.
type drainage struct {
	flights func() []*flight
	grace   time.Duration
	tell    func(Flight, error)
}

// begin returns a stop that waits.
func (d drainage) begin() (stop func()) {
	over, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		first := time.NewTimer(d.grace)
		defer first.Stop()
		select {
		case <-first.C:
		case <-over:
			return
		}
		tick := time.NewTicker(drainTick)
		defer tick.Stop()
		for {
			now := time.Now()
			for _, f := range d.flights() {
				f.disturb(now, d.grace, d.tell)
			}
			select {
			case <-tick.C:
			case <-over:
				return
			}
		}
	}()
	return func() { close(over); <-done }
}

// Drained waits until nothing that passed the gate before the hold is in flight
// on its hosts. What still is after grace is taken back or ended, as far as that
// does no harm, and noted in the hold. It fails when the hold ends first; then,
// and when ctx ends, the error names what is still in flight.
func (c *control) Drained(ctx context.Context, id string, grace time.Duration) error {
	h, err := c.hold(id)
	if err != nil {
		return err
	}
	ctx, cancel := h.within(ctx)
	defer cancel()
	if err := c.predecessorGone(ctx); err != nil {
		return err
	}
	flights := func() []*flight { return flightsOf(h.lanes) }
	defer drainage{flights: flights, grace: grace, tell: c.tell(&h.endings)}.begin()()
	for _, l := range h.lanes {
		if err := l.inflight.wait(ctx); err != nil {
			return stillInFlight(flights(), err)
		}
	}
	if !h.active() {
		return h.endedEarly()
	}
	return nil
}

// within ends a context with the hold.
func (h *hold) within(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-h.over:
			cancel(h.endedEarly())
		case <-stop:
		}
	}()
	return ctx, func() {
		close(stop)
		<-ended
		cancel(nil)
	}
}

func (h *hold) endedEarly() error {
	return errorf(ErrExpired, "hold %q ended before it was drained", h.id)
}

// Settled waits until the requests that are in flight on hosts now have ended,
// for grace at most, and disturbs none. It does not wait for what never ends by
// itself. What is left is no error: a drain will deal with it.
func (c *control) Settled(ctx context.Context, hosts []string, grace time.Duration) ([]Flight, error) {
	c.mu.Lock()
	var lanes []*lane
	for _, host := range hosts {
		if l := c.lanes[host]; l != nil {
			lanes = append(lanes, l)
		}
	}
	c.mu.Unlock()
	now := time.Now()
	deadline := now.Add(grace)
	tick := time.NewTicker(drainTick)
	defer tick.Stop()
	for {
		old := flightsOf(lanes)
		old = slices.DeleteFunc(old, func(f *flight) bool { return f.began.After(now) })
		if time.Now().After(deadline) || !slices.ContainsFunc(old, func(f *flight) bool { return !f.endless() }) {
			return describe(old), nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (c *control) predecessorGone(ctx context.Context) error {
	if c.predecessor == nil {
		return nil
	}
	select {
	case <-c.predecessor:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("the gateway that ran before this one still has requests in flight: %w", context.Cause(ctx))
	}
}

// Idle waits until a release of a pool, at weight 0, has nothing in flight. What
// still is after grace is taken back, to go to another release, or ended.
func (c *control) Idle(ctx context.Context, name string, number int, grace time.Duration) error {
	c.mu.Lock()
	p := c.pools[name]
	c.mu.Unlock()
	if p == nil {
		return errorf(ErrNotFound, "no pool %q", name)
	}
	if err := c.predecessorGone(ctx); err != nil {
		return err
	}
	flights := func() []*flight {
		return slices.DeleteFunc(c.flights(), func(f *flight) bool {
			e := f.at.Load()
			return f.pass.pool != p || e == nil || e.release.number != number
		})
	}
	var ended endings
	defer drainage{flights: flights, grace: grace, tell: c.tell(&ended)}.begin()()
	if err := p.idle(ctx, number); err != nil {
		if errors.Is(err, ErrConflict) {
			return err
		}
		return stillInFlight(flights(), err)
	}
	return nil
}

// tell notes what a drain did where it is asked for, and in the counters.
func (c *control) tell(e *endings) func(Flight, error) {
	return func(f Flight, fate error) {
		e.tell(f, fate)
		c.counts.disturbed(f, fate)
		if fate == errEnded {
			c.log.Info("a request was ended by a drain", "request", f.String())
		}
	}
}

// flights are those of all hosts.
func (c *control) flights() []*flight {
	c.mu.Lock()
	lanes := make([]*lane, 0, len(c.lanes))
	for _, l := range c.lanes {
		lanes = append(lanes, l)
	}
	c.mu.Unlock()
	return flightsOf(lanes)
}

func flightsOf(lanes []*lane) []*flight {
	var all []*flight
	for _, l := range lanes {
		all = append(all, l.flights()...)
	}
	return all
}

// describe tells of requests, the oldest first.
func describe(all []*flight) []Flight {
	now := time.Now()
	told := make([]Flight, len(all))
	for i, f := range all {
		told[i] = f.view(now)
	}
	slices.SortFunc(told, func(a, b Flight) int { return cmp.Compare(b.Age, a.Age) })
	return told
}

func stillInFlight(all []*flight, err error) error {
	if len(all) == 0 {
		return err
	}
	return fmt.Errorf("%w; still in flight: %s", err, TellFlights(describe(all), int64(len(all))))
}

// endTunnels ends, after grace, all upgraded connections, until it is stopped.
func (c *control) endTunnels(grace time.Duration) (stop func()) {
	tunnels := func() []*flight {
		return slices.DeleteFunc(c.flights(), func(f *flight) bool {
			f.mu.Lock()
			defer f.mu.Unlock()
			return f.stage != tunnelled
		})
	}
	return drainage{flights: tunnels, grace: grace, tell: c.tell(&endings{})}.begin()
}

// closeTunnels ends all upgraded connections now and waits for them, within.
func (c *control) closeTunnels(within time.Duration) {
	defer c.endTunnels(0)()
	deadline := time.After(within)
	tick := time.NewTicker(drainTick)
	defer tick.Stop()
	for slices.ContainsFunc(c.flights(), (*flight).endless) {
		select {
		case <-tick.C:
		case <-deadline:
			return
		}
	}
}
