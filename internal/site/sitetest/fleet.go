package sitetest

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"godwit/internal/fleet"
	"godwit/internal/site"
)

func launchCount(t *testing.T, b *bench) {
	b.launch(1, 2)
	addresses := map[string]bool{}
	for _, i := range b.fleet().Instances {
		if i.Release != 1 || i.State != fleet.Ready || i.ID == "" {
			t.Errorf("instance %+v", i)
		}
		if !b.Landscape.Environments[0].Network.Contains(i.Address.Addr()) {
			t.Errorf("address %v lies outside the environment's network", i.Address)
		}
		addresses[i.Address.String()] = true
	}
	if ids := b.instances(1, fleet.Ready); len(ids) != 2 || len(slices.Compact(ids)) != 2 || len(addresses) != 2 {
		t.Errorf("instances %v at %v", ids, addresses)
	}
	releases := b.fleet().Releases
	if len(releases) != 1 || releases[0].Number != 1 || releases[0].Image != b.Good {
		t.Errorf("releases %+v", releases)
	}
	if w := b.weights(); len(w) != 0 {
		t.Errorf("launched, it has traffic already: %v", w)
	}
}

func launchAgain(t *testing.T, b *bench) {
	b.launch(1, 1)
	first := b.instances(1, fleet.Ready)
	b.launch(1, 1)
	if again := b.instances(1, fleet.Ready); !slices.Equal(first, again) {
		t.Errorf("instances were %v, are %v", first, again)
	}
	b.launch(1, 3)
	more := b.instances(1, fleet.Ready)
	if len(more) != 3 || !slices.Contains(more, first[0]) {
		t.Errorf("with count 3 there are %v, first there was %v", more, first)
	}
}

func launchUnready(t *testing.T, b *bench) {
	b.launch(1, 1)
	b.shift(fleet.Weights{1: 1})
	b.want("bad image", b.site.Launch(b.ctx, b.release(2, 2, b.Bad)), site.ErrUnready)
	if ready := b.instances(2, fleet.Ready); len(ready) != 0 {
		t.Errorf("ready all the same: %v", ready)
	}
	b.want("weight for a release that is not ready",
		b.site.Shift(b.ctx, b.environment, b.service, fleet.Weights{1: 1, 2: 1}), site.ErrInvalid)
	b.ok(b.site.Retire(b.ctx, b.environment, b.service, 2))
	for _, i := range b.fleet().Instances {
		if i.Release == 2 {
			t.Errorf("retired, it is still there: %+v", i)
		}
	}
	if ready := b.instances(1, fleet.Ready); len(ready) != 1 {
		t.Errorf("the release beside it has ready instances %v", ready)
	}
}

func launchNowhere(_ *testing.T, b *bench) {
	r := b.release(1, 1, b.Good)
	r.Environment = b.other
	b.want("environment not applied", b.site.Launch(b.ctx, r), site.ErrNotFound)
	r = b.release(1, 1, b.Good)
	r.Service = "undeclared"
	b.want("undeclared service", b.site.Launch(b.ctx, r), site.ErrNotFound)
}

func shiftWeights(t *testing.T, b *bench) {
	b.launch(1, 1)
	b.launch(2, 1)
	for _, w := range []fleet.Weights{{1: 100}, {1: 90, 2: 10}, {1: 90, 2: 10}, {2: 100}, {1: 0, 2: 1}} {
		b.shift(w)
		want := maps.Clone(w)
		maps.DeleteFunc(want, func(_, weight int) bool { return weight == 0 })
		if got := b.weights(); !maps.Equal(got, want) {
			t.Errorf("shifted to %v, weights are %v", w, got)
		}
	}
	b.want("environment not applied", b.site.Shift(b.ctx, b.other, b.service, fleet.Weights{1: 1}), site.ErrNotFound)
}

func shiftInvalid(t *testing.T, b *bench) {
	b.launch(1, 1)
	b.shift(fleet.Weights{1: 7})
	for name, w := range map[string]fleet.Weights{
		"none":                 nil,
		"all zero":             {1: 0},
		"release that is none": {1: 1, 9: 1},
		"negative":             {1: 1, 2: -1},
	} {
		b.want(name, b.site.Shift(b.ctx, b.environment, b.service, w), site.ErrInvalid)
		if got := b.weights(); !maps.Equal(got, fleet.Weights{1: 7}) {
			t.Errorf("%s: refused, and yet weights are %v", name, got)
		}
	}
}

// shiftAtomic sends requests while weights change: every one must be served,
// and every instant must have weights.
func shiftAtomic(t *testing.T, b *bench) {
	if b.Request == nil {
		t.Skip("the harness sends no requests")
	}
	b.launch(1, 1)
	b.launch(2, 1)
	b.shift(fleet.Weights{1: 1})
	ctx, cancel := context.WithCancel(b.ctx)
	var clients sync.WaitGroup
	var served atomic.Int64
	for range 4 {
		clients.Go(func() {
			for ctx.Err() == nil {
				if err := b.Request(b.ctx, b.site, b.environment, b.service); err != nil {
					t.Errorf("a request failed: %v", err)
					return
				}
				served.Add(1)
			}
		})
	}
	for i := range 20 {
		before := served.Load()
		b.shift([]fleet.Weights{{1: 90, 2: 10}, {2: 1}, {1: 1}}[i%3])
		if len(b.weights()) == 0 {
			t.Error("no weights at all")
		}
		b.eventually("requests are served", func() bool { return served.Load() > before || t.Failed() })
	}
	cancel()
	clients.Wait()
}

func trafficCounted(t *testing.T, b *bench) {
	if b.Request == nil {
		t.Skip("the harness sends no requests")
	}
	b.launch(1, 1)
	b.launch(2, 1)
	for number := 1; number <= 2; number++ {
		b.shift(fleet.Weights{number: 1})
		before := b.fleet().Traffic
		const requests = 5
		for range requests {
			b.ok(b.Request(b.ctx, b.site, b.environment, b.service))
		}
		// All of them: one that is counted later would seem to be the next release's fault.
		sent := uint64(requests * b.PerRequest)
		b.eventually("traffic is counted", func() bool { return b.fleet().Traffic[number].Requests >= before[number].Requests+sent })
		other := 3 - number
		if got := b.fleet().Traffic[other].Requests; got != before[other].Requests {
			t.Errorf("release %d has no weight, and served %d requests", other, got-before[other].Requests)
		}
	}
}

func drainRetire(t *testing.T, b *bench) {
	b.launch(1, 2)
	b.launch(2, 1)
	b.shift(fleet.Weights{2: 1})
	for range 2 {
		b.ok(b.site.Drain(b.ctx, b.environment, b.service, 1))
	}
	for range 2 {
		b.ok(b.site.Retire(b.ctx, b.environment, b.service, 1))
		for _, i := range b.fleet().Instances {
			if i.Release == 1 {
				t.Errorf("retired, and still there: %+v", i)
			}
		}
	}
	b.ok(b.site.Retire(b.ctx, b.environment, b.service, 9))
	if ready := b.instances(2, fleet.Ready); len(ready) != 1 {
		t.Errorf("the release that serves has ready instances %v", ready)
	}
	b.launch(1, 1) // what was retired can be launched again
	b.shift(fleet.Weights{1: 1})
}

func drainRetireWeight(t *testing.T, b *bench) {
	b.launch(1, 1)
	b.launch(2, 1)
	b.shift(fleet.Weights{1: 1, 2: 1})
	before := b.instances(1, fleet.Ready)
	b.want("drain", b.site.Drain(b.ctx, b.environment, b.service, 1), site.ErrInvalid)
	b.want("retire", b.site.Retire(b.ctx, b.environment, b.service, 1), site.ErrInvalid)
	if after := b.instances(1, fleet.Ready); !slices.Equal(before, after) {
		t.Errorf("refused, and yet instances were %v, are %v", before, after)
	}
}

func drainWaits(t *testing.T, b *bench) {
	if b.Begin == nil {
		t.Skip("the harness begins no requests")
	}
	b.launch(1, 1)
	b.launch(2, 1)
	b.shift(fleet.Weights{1: 1})
	end := b.Begin(t, b.site, b.environment, b.service)
	b.shift(fleet.Weights{2: 1})
	short, cancel := context.WithTimeout(b.ctx, 100*time.Millisecond)
	defer cancel()
	if err := b.site.Drain(short, b.environment, b.service, 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("drained with a request in flight: %v", err)
	}
	drained := make(chan error, 1)
	go func() { drained <- b.site.Drain(b.ctx, b.environment, b.service, 1) }()
	end()
	b.ok(<-drained)
}
