package gateway

import (
	"context"
	"sync"
	"sync/atomic"
)

// gauge counts what is in flight and lets others wait until nothing is.
//
// Its use is exact together with a pointer that redirects newcomers: a request
// adds itself and looks at the pointer afterwards; whoever waits changes the
// pointer first. One of the two always sees the other.
type gauge struct {
	n       atomic.Int64
	waiters atomic.Int32

	mu   sync.Mutex
	zero chan struct{} // closed when n comes to zero; nil while nobody waits
}

func (g *gauge) add()       { g.n.Add(1) }
func (g *gauge) now() int64 { return g.n.Load() }

func (g *gauge) done() {
	if g.n.Add(-1) != 0 || g.waiters.Load() == 0 {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.zero != nil {
		close(g.zero)
		g.zero = nil
	}
}

// wait returns nil once the gauge was at zero at some instant after the call.
func (g *gauge) wait(ctx context.Context) error {
	g.waiters.Add(1)
	defer g.waiters.Add(-1)
	g.mu.Lock()
	if g.zero == nil {
		g.zero = make(chan struct{})
	}
	zero := g.zero
	g.mu.Unlock()
	if g.n.Load() == 0 {
		return nil
	}
	select {
	case <-zero:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
