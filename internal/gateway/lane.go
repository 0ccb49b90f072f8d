package gateway

import (
	"context"
	"sync"
	"sync/atomic"
)

// lane is the way in for one host: who is in flight on it, and the hold at its
// gate. It outlives changes of the route.
type lane struct {
	host     string
	inflight gauge
	hold     atomic.Pointer[hold]

	mu     sync.Mutex
	newest *flight // the list of those in flight
}

func (l *lane) add(f *flight) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f.next = l.newest
	if f.next != nil {
		f.next.prev = f
	}
	l.newest = f
}

func (l *lane) remove(f *flight) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f.prev != nil {
		f.prev.next = f.next
	} else {
		l.newest = f.next
	}
	if f.next != nil {
		f.next.prev = f.prev
	}
	f.prev, f.next = nil, nil
}

// flights are those in flight now, the newest first.
func (l *lane) flights() []*flight {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []*flight
	for f := l.newest; f != nil; f = f.next {
		all = append(all, f)
	}
	return all
}

// view is what the data path reads: immutable, swapped atomically.
type view struct {
	version uint64
	routes  map[string]binding
}

type binding struct {
	lane *lane
	pool *pool
}

// passage is a request that passed the gate; leave must be called when it is over.
type passage struct {
	lane *lane
	pool *pool
}

func (p passage) leave() { p.lane.inflight.done() }

// routed says whether there is a way in for host.
func (c *control) routed(host string) bool {
	_, ok := c.view.Load().routes[host]
	return ok
}

// admit lets a request for host through the gate, waiting while it is held.
// It counts the request in before it looks at the hold, and looks at the table
// after that: a request either is seen by whoever drains the lane, or waits, or
// goes where the table points now. One that a hold has let go passes that hold's
// gate, which opens only once all have gone; it must not queue again.
func (c *control) admit(ctx context.Context, host string, away departure) (passage, error) {
	var cleared *hold
	for {
		v := c.view.Load()
		b, ok := v.routes[host]
		if !ok {
			return passage{}, errorf(ErrNotFound, "no route for host %q", host)
		}
		b.lane.inflight.add()
		h := b.lane.hold.Load()
		open := h == nil || h == cleared
		if open && c.view.Load() == v {
			return passage(b), nil
		}
		b.lane.inflight.done()
		if open {
			continue
		}
		if err := h.wait(ctx, away); err != nil {
			return passage{}, err
		}
		cleared = h
	}
}
