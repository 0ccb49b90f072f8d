package gateway

import (
	"sync/atomic"
	"time"

	"godwit/internal/fleet"
)

// release is what a pool remembers of one release: what is in flight and what
// it has served. The counters only grow.
type release struct {
	number   int
	inflight gauge

	requests atomic.Uint64
	errors   atomic.Uint64
	shielded atomic.Uint64
	latency  []atomic.Uint64
}

func newRelease(number int) *release {
	return &release{number: number, latency: make([]atomic.Uint64, len(fleet.LatencyBounds)+1)}
}

// observe counts one answered or failed attempt. took is the time to the head
// of the response: a slow client does not make a release look slow.
func (r *release) observe(took time.Duration, failed bool) {
	r.requests.Add(1)
	r.latency[fleet.Bucket(took)].Add(1)
	if failed {
		r.errors.Add(1)
	}
}

// traffic is a snapshot. Errors is read before Requests, so that no snapshot
// shows more errors than requests.
func (r *release) traffic() fleet.Traffic {
	t := fleet.Traffic{Shielded: r.shielded.Load(), Errors: r.errors.Load()}
	t.Latency = make([]uint64, len(r.latency))
	for i := range r.latency {
		t.Latency[i] = r.latency[i].Load()
	}
	t.Requests = r.requests.Load()
	return t
}

// inherit adds what a predecessor counted, so that a judge who subtracts two
// observations notices nothing of a replaced gateway.
func (r *release) inherit(t fleet.Traffic) {
	r.requests.Add(t.Requests)
	r.errors.Add(t.Errors)
	r.shielded.Add(t.Shielded)
	for i := range min(len(r.latency), len(t.Latency)) {
		r.latency[i].Add(t.Latency[i])
	}
}
