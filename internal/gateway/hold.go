package gateway

import (
	"container/list"
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Held is what a hold did to clients. Durations are nanoseconds in JSON.
type Held struct {
	Requests int64         `json:"requests"` // requests that waited
	Longest  time.Duration `json:"longest"`  // longest wait of one request
	Total    time.Duration `json:"total"`    // from hold to release
	Expired  bool          `json:"expired"`  // the lease ended before the release

	Recalled int64            `json:"recalled,omitempty"` // requests that the drain took back to the gate: safe ones without an answer
	EndedBy  map[string]int64 `json:"ended_by,omitempty"` // how many requests the drain ended, by their state
	Ended    []Flight         `json:"ended,omitempty"`    // of those, the first hundred
}

// A release wakes at most releaseBatch requests per releaseTick, oldest first,
// so that a long hold does not end in a stampede on the instances: twenty
// thousand requests take about 160 ms, those of a usual cutover one batch.
const (
	releaseBatch = 128
	releaseTick  = time.Millisecond
)

// hold makes requests wait at the gate of some lanes, in order of arrival.
type hold struct {
	id    string
	hosts []string
	lanes []*lane
	began time.Time
	room  *room
	over  chan struct{}   // closed when the hold ends
	tasks *sync.WaitGroup // what runs on behalf of the control

	grace   time.Duration // of a drain
	endings endings

	mu       sync.Mutex
	queue    list.List // of *waiter, oldest first
	phase    phase
	deadline time.Time
	timer    *time.Timer
	expiry   map[string]string // host -> pool: where requests go when the lease ends by itself
	held     Held
	departed int64
}

type phase int

const (
	holding   phase = iota
	releasing       // requests leave in order; newcomers queue behind them
	open            // everybody passes
	aborted         // the gateway stops: requests are refused
)

type waiter struct {
	since time.Time
	ready chan struct{}
}

// room bounds what is kept of many requests together: those that wait in all
// holds, the bytes of their bodies.
type room struct {
	used atomic.Int64
	size int64
}

func (r *room) enter(n int64) bool {
	if r.used.Add(n) > r.size {
		r.used.Add(-n)
		return false
	}
	return true
}

func (r *room) leave(n int64) { r.used.Add(-n) }

func newHold(id string, hosts []string, lanes []*lane, room *room, tasks *sync.WaitGroup) *hold {
	return &hold{id: id, hosts: hosts, lanes: lanes, began: time.Now(), room: room, over: make(chan struct{}), tasks: tasks}
}

// begin closes the gate of the lanes. expire is called when the lease may be over.
func (h *hold) begin(lease time.Duration, expiry map[string]string, expire func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.deadline, h.expiry = h.began.Add(lease), expiry
	for _, l := range h.lanes { // before the lease can end: its end takes the hold off the lanes
		l.hold.Store(h)
	}
	h.timer = time.AfterFunc(lease, expire)
}

// wait returns nil when the request may look at the gate again.
func (h *hold) wait(ctx context.Context, away departure) error {
	if !h.room.enter(1) {
		return errTooMany
	}
	defer h.room.leave(1)
	w := &waiter{since: time.Now(), ready: make(chan struct{})}
	place, phase := h.enqueue(w)
	if place == nil {
		if phase == aborted {
			return errStopping
		}
		return nil
	}
	gone, stop := away.watch()
	defer stop()
	select {
	case <-w.ready:
		return h.verdict()
	case <-gone:
	case <-ctx.Done():
	}
	h.depart(place, w)
	return errDeparted
}

func (h *hold) enqueue(w *waiter) (*list.Element, phase) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.phase == open || h.phase == aborted {
		return nil, h.phase
	}
	if h.phase == holding {
		h.held.Requests++
	}
	return h.queue.PushBack(w), h.phase
}

func (h *hold) verdict() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.phase == aborted {
		return errStopping
	}
	return nil
}

func (h *hold) depart(place *list.Element, w *waiter) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.queue.Remove(place)
	if h.phase == holding {
		h.departed++
		h.held.Longest = max(h.held.Longest, time.Since(w.since))
	}
}

// renew moves the end of the lease. It fails once the hold has ended: its
// requests have passed, nobody may believe they still wait.
func (h *hold) renew(lease time.Duration, expiry map[string]string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.phase != holding {
		return errorf(ErrExpired, "hold %q ended after %s; release it and hold anew", h.id, h.held.Total)
	}
	h.deadline, h.expiry = time.Now().Add(lease), expiry
	h.timer.Reset(lease)
	return nil
}

// due says whether the lease is over, and where the requests are to go then.
func (h *hold) due() (expiry map[string]string, over bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.phase != holding {
		return nil, false
	}
	left := time.Until(h.deadline)
	if left < -missedBy { // this process was stopped, or the machine was
		left = comeback
		h.deadline = time.Now().Add(left)
	}
	if left > 0 { // renewed while the timer fired
		h.timer.Reset(left)
		return nil, false
	}
	return h.expiry, true
}

// fallsBackTo says whether requests may still go to a pool at the end of the lease.
func (h *hold) fallsBackTo(pool string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.phase != holding {
		return false
	}
	for _, p := range h.expiry {
		if p == pool {
			return true
		}
	}
	return false
}

// end lets the requests go, oldest first, or refuses them all (aborted). The
// first batch is on its way when it returns. Ending twice returns the same.
func (h *hold) end(expired bool, to phase) Held {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.phase != holding {
		return h.report()
	}
	h.timer.Stop()
	now := time.Now()
	h.held.Total, h.held.Expired = now.Sub(h.began), expired
	if first := h.queue.Front(); first != nil {
		h.held.Longest = max(h.held.Longest, now.Sub(first.Value.(*waiter).since))
	}
	h.phase = to
	close(h.over)
	if to == aborted {
		h.letGo(h.queue.Len())
	} else if !h.letGo(releaseBatch) {
		h.tasks.Go(h.letAllGo)
	}
	return h.report()
}

// report is what was done to clients so far. h.mu is held.
func (h *hold) report() Held {
	h.endings.mu.Lock()
	defer h.endings.mu.Unlock()
	held := h.held
	held.Recalled, held.EndedBy, held.Ended = h.endings.recalled, maps.Clone(h.endings.ended), slices.Clone(h.endings.listed)
	return held
}

// letAllGo ends by itself: it wakes more requests per second than can arrive.
func (h *hold) letAllGo() {
	ticker := time.NewTicker(releaseTick)
	defer ticker.Stop()
	for {
		<-ticker.C
		h.mu.Lock()
		empty := h.letGo(releaseBatch)
		h.mu.Unlock()
		if empty {
			return
		}
	}
}

// letGo wakes up to n requests; once none is left the gate is open, unless a
// newer hold has taken it. h.mu is held.
func (h *hold) letGo(n int) (empty bool) {
	for ; n > 0 && h.queue.Len() > 0; n-- {
		close(h.queue.Remove(h.queue.Front()).(*waiter).ready)
	}
	if h.queue.Len() > 0 {
		return false
	}
	if h.phase == releasing {
		h.phase = open
		for _, l := range h.lanes {
			l.hold.CompareAndSwap(h, nil)
		}
	}
	return true
}

func (h *hold) active() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.phase == holding
}

func (h *hold) status() HoldStatus {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := HoldStatus{ID: h.id, Hosts: h.hosts, Held: h.report(), Departed: h.departed, Active: h.phase == holding, ExpireRoutes: h.expiry}
	if s.Active {
		s.Waiting = int64(h.queue.Len())
		s.Held.Total = time.Since(h.began)
		s.LeaseLeft = time.Until(h.deadline)
		if first := h.queue.Front(); first != nil {
			s.Held.Longest = max(s.Held.Longest, time.Since(first.Value.(*waiter).since))
		}
	}
	for _, l := range h.lanes {
		s.InFlight += l.inflight.now()
	}
	s.Flights = describe(flightsOf(h.lanes))
	s.Flights = s.Flights[:min(len(s.Flights), maxTold)]
	return s
}
