package gateway

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"godwit/internal/fleet"
	"pgregory.net/rapid"
)

// TestAReleaseThatGoesIsStillKnownToWhoeverDrainsIt: a request may choose it
// until the very moment the pool is replaced.
func TestAReleaseThatGoesIsStillKnownToWhoeverDrainsIt(t *testing.T) {
	t.Parallel()
	p := newPool("p", one(Endpoint{ID: "a", Address: "127.0.0.1:1", Release: 1}))
	old := p.state.Load()
	next := newPoolState(Pool{}, old)
	e, _ := p.pick(wish{}) // between the making of the next state and its taking effect
	p.state.Store(next)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.idle(ctx, 1); err == nil {
		t.Error("idle while a request is under way")
	}
	e.leave()
	if err := p.idle(deadline(t, time.Second), 1); err != nil {
		t.Error(err)
	}
}

// TestNothingReachesWhatIsIdle: over any sequence of changes of a pool under
// load, once a release is idle, nothing enters its endpoints before it gets
// weight again.
func TestNothingReachesWhatIsIdle(t *testing.T) {
	t.Parallel()
	endpoints := []Endpoint{{ID: "a", Address: "127.0.0.1:1", Release: 1}, {ID: "b", Address: "127.0.0.1:2", Release: 2}}
	rapid.Check(t, func(t *rapid.T) {
		p := newPool("p", Pool{Endpoints: endpoints, Weights: fleet.Weights{1: 1, 2: 1}})
		var closed [3]atomic.Bool // by release: nothing may be under way
		var wrong atomic.Int64
		stop := make(chan struct{})
		var load sync.WaitGroup
		for range 4 {
			load.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					if e, _ := p.pick(wish{}); e != nil {
						if closed[e.Release].Load() {
							wrong.Add(1)
						}
						e.leave()
					}
				}
			})
		}
		for range rapid.IntRange(1, 12).Draw(t, "changes") {
			release := rapid.IntRange(1, 2).Draw(t, "release")
			spec := Pool{Endpoints: endpoints, Weights: fleet.Weights{3 - release: 1}}
			if rapid.Bool().Draw(t, "endpoint too") {
				spec.Endpoints = endpoints[2-release : 3-release]
			}
			p.set(spec)
			if err := p.idle(t.Context(), release); err != nil {
				t.Fatal(err)
			}
			closed[release].Store(true)
			closed[release].Store(false)
			p.set(Pool{Endpoints: endpoints, Weights: fleet.Weights{1: 1, 2: 1}})
		}
		close(stop)
		load.Wait()
		if wrong.Load() != 0 {
			t.Errorf("%d requests chose a release that was idle", wrong.Load())
		}
	})
}
