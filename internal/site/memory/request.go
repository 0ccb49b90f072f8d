package memory

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"godwit/internal/fleet"
)

// Request is a request in flight.
type Request struct {
	Release int // that serves it
	site    *Site
	release *release
}

// Begin sends a request to a service; the weights choose the release. End it.
func (s *Site) Begin(environment, name string) (*Request, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, v, err := s.find(environment, name)
	if err != nil {
		return nil, err
	}
	number := v.choose()
	r := v.releases[number]
	if r == nil || r.ready() == 0 {
		return nil, fmt.Errorf("no instance of %s/%s to serve it", environment, name)
	}
	r.inFlight++
	return &Request{Release: number, site: s, release: r}, nil
}

// choose is smooth weighted round robin: every release gains its weight, the
// richest serves and pays the total.
func (v *service) choose() int {
	best, total := 0, 0
	for _, number := range slices.Sorted(maps.Keys(v.weights)) {
		w := v.weights[number]
		if w == 0 {
			continue
		}
		v.credit[number] += w
		total += w
		if best == 0 || v.credit[number] > v.credit[best] {
			best = number
		}
	}
	v.credit[best] -= total
	return best
}

// End ends a request, as an error or not, and counts it.
func (q *Request) End(failed bool, took time.Duration) {
	q.site.mu.Lock()
	defer q.site.mu.Unlock()
	t := &q.release.traffic
	if t.Latency == nil {
		t.Latency = make([]uint64, len(fleet.LatencyBounds)+1)
	}
	t.Requests++
	t.Latency[fleet.Bucket(took)]++
	if failed {
		t.Errors++
	}
	q.release.inFlight--
	q.site.move()
}
