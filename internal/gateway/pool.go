package gateway

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"godwit/internal/fleet"
)

// pool is the running side of a Pool: the same releases and endpoints stay the
// same objects over changes, so that what is in flight stays counted.
type pool struct {
	name  string
	state atomic.Pointer[poolState]
	turn  sync.Mutex // guards share.current of every state
}

// poolState is one version of a pool; immutable but for the turns of its shares.
type poolState struct {
	spec      Pool
	releases  map[int]*release
	endpoints map[Endpoint]*endpoint
	shares    []*share // releases with weight and endpoints, oldest first
}

// serves: new requests may go to that release.
func (s *poolState) serves(release int) bool {
	return slices.ContainsFunc(s.shares, func(sh *share) bool { return sh.release.number == release })
}

// share is a release that gets new requests.
type share struct {
	release   *release
	weight    int
	current   int // of smooth weighted round robin
	endpoints []*endpoint
}

// endpoint is the running side of an Endpoint.
type endpoint struct {
	Endpoint
	release  *release
	inflight atomic.Int64
	down     atomic.Int64 // unix nanoseconds until which other endpoints are preferred
	gone     atomic.Bool  // no longer in its pool
	told     atomic.Int64 // unix nanoseconds of the last word about it in the log
}

// downFor is how long an endpoint that refused a connection is avoided while
// there are others. Without it a dead endpoint, always the least busy, would
// attract every request.
const downFor = time.Second

func newPool(name string, spec Pool) *pool {
	p := &pool{name: name}
	p.state.Store(newPoolState(spec, &poolState{}))
	return p
}

// set replaces the pool's state and returns the endpoints that are gone.
func (p *pool) set(spec Pool) (gone []Endpoint) {
	old := p.state.Load()
	next := newPoolState(spec, old)
	p.state.Store(next)
	for spec, e := range old.endpoints {
		if next.endpoints[spec] == nil {
			e.gone.Store(true)
			gone = append(gone, spec)
		}
	}
	return gone
}

func newPoolState(spec Pool, old *poolState) *poolState {
	s := &poolState{
		spec:      spec,
		releases:  map[int]*release{},
		endpoints: map[Endpoint]*endpoint{},
	}
	shares := map[int]*share{}
	for number, weight := range spec.Weights {
		r := s.know(number, old)
		if weight > 0 {
			shares[number] = &share{release: r, weight: weight}
		}
	}
	for _, spec := range spec.Endpoints {
		e := old.endpoints[spec]
		if e == nil {
			e = &endpoint{Endpoint: spec, release: s.know(spec.Release, old)}
		}
		s.releases[spec.Release] = e.release
		s.endpoints[spec] = e
		if sh := shares[spec.Release]; sh != nil {
			sh.endpoints = append(sh.endpoints, e)
		}
	}
	for number, r := range old.releases {
		// Gone, but still busy; or gone just now: until the old state is replaced,
		// a request may still choose it.
		if r.inflight.now() > 0 || old.serves(number) {
			s.releases[number] = r
		}
	}
	for _, sh := range shares {
		if len(sh.endpoints) > 0 {
			s.shares = append(s.shares, sh)
		}
	}
	slices.SortFunc(s.shares, func(a, b *share) int { return a.release.number - b.release.number })
	return s
}

// know returns the release of a number, the same one as before if there was one.
func (s *poolState) know(number int, old *poolState) *release {
	r := s.releases[number]
	if r == nil {
		r = old.releases[number]
	}
	if r == nil {
		r = newRelease(number)
	}
	s.releases[number] = r
	return r
}

// wish narrows a choice of endpoint.
type wish struct {
	before int         // only releases older than this; 0: any
	avoid  []*endpoint // tried already; chosen again only if there is no other
}

// pick chooses an endpoint and counts the request in; the caller must call
// endpoint.leave. It returns the state it chose from too. A nil endpoint means
// that none can be had now.
func (p *pool) pick(w wish) (*endpoint, *poolState) {
	for {
		s := p.state.Load()
		sh := p.pickShare(s, w)
		if sh == nil {
			return nil, s
		}
		e := leastBusy(sh.endpoints, w.avoid)
		e.enter()
		if p.state.Load() == s {
			return e, s
		}
		e.leave() // replaced meanwhile: whoever waits for this release must not miss us
	}
}

// pickShare takes turns by weight (smooth weighted round robin), among the
// releases that still have an untried endpoint if there are any.
func (p *pool) pickShare(s *poolState, w wish) *share {
	if len(s.shares) == 1 && w.before == 0 {
		return s.shares[0]
	}
	p.turn.Lock()
	defer p.turn.Unlock()
	var best, tried *share
	total := 0
	for _, sh := range s.shares {
		if w.before != 0 && sh.release.number >= w.before {
			continue
		}
		if exhausted(sh.endpoints, w.avoid) {
			tried = sh
			continue
		}
		sh.current += sh.weight
		total += sh.weight
		if best == nil || sh.current > best.current {
			best = sh
		}
	}
	if best == nil {
		return tried
	}
	best.current -= total
	return best
}

func exhausted(endpoints, avoid []*endpoint) bool {
	if len(avoid) == 0 {
		return false
	}
	for _, e := range endpoints {
		if !slices.Contains(avoid, e) {
			return false
		}
	}
	return true
}

// leastBusy prefers untried over tried, up over down, then fewer in flight;
// ties are broken at random.
func leastBusy(endpoints, avoid []*endpoint) *endpoint {
	if len(endpoints) == 1 {
		return endpoints[0]
	}
	var best *endpoint
	var bestRank int64
	ties := 0
	for _, e := range endpoints {
		rank := e.rank(avoid)
		switch {
		case best == nil || rank < bestRank:
			best, bestRank, ties = e, rank, 1
		case rank == bestRank:
			ties++
			if rand.IntN(ties) == 0 {
				best = e
			}
		}
	}
	return best
}

func (e *endpoint) rank(avoid []*endpoint) int64 {
	rank := e.inflight.Load()
	if until := e.down.Load(); until != 0 && time.Now().UnixNano() < until {
		rank += 1 << 40
	}
	if slices.Contains(avoid, e) {
		rank += 1 << 41
	}
	return rank
}

func (e *endpoint) enter() {
	e.inflight.Add(1)
	e.release.inflight.add()
}

func (e *endpoint) leave() {
	e.inflight.Add(-1)
	e.release.inflight.done()
}

// idle waits until a release that gets no new requests has none in flight.
func (p *pool) idle(ctx context.Context, number int) error {
	s := p.state.Load()
	if s.spec.Weights[number] > 0 {
		return errorf(ErrConflict, "release %d of pool %s still has weight %d; set its weight to 0 first", number, p.name, s.spec.Weights[number])
	}
	r := s.releases[number]
	if r == nil {
		return nil
	}
	return r.inflight.wait(ctx)
}

func (p *pool) traffic() map[int]fleet.Traffic {
	s := p.state.Load()
	t := make(map[int]fleet.Traffic, len(s.releases))
	for number, r := range s.releases {
		t[number] = r.traffic()
	}
	return t
}
