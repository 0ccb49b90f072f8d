package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// stage is how far a request in flight has come.
type stage int

const (
	seeking   stage = iota // this attempt: no instance has seen any of it
	sending                // an instance may have seen some of it, but not all
	awaiting               // an instance may have all of it, and has not answered
	replying               // the instance has answered; the response is passed on
	tunnelled              // upgraded: bytes both ways
)

// Why a request in flight was disturbed.
var (
	errRecalled = errors.New("taken back to the gate: it has had no answer, and may be sent again")
	errEnded    = errors.New("ended, because others would have had to wait for it")
)

// flight is a request between the gate and its end, as whoever drains sees it.
type flight struct {
	pass  passage
	req   *Outgoing
	host  string
	path  string
	began time.Time // came to the gate
	conn  *screened // the client's; nil: unknown

	ctx    context.Context
	cancel context.CancelCauseFunc
	at     atomic.Pointer[endpoint]
	up     atomic.Int64 // bytes of a tunnel from the client
	down   atomic.Int64 // bytes that the client was sent
	taking atomic.Bool  // the client is being written to
	gone   atomic.Bool

	mu     sync.Mutex
	stage  stage
	seen   bool // an instance may have seen some of it, at this attempt or before
	since  time.Time
	fate   error // errRecalled or errEnded
	fateAt time.Time
	tunnel *tunnel

	prev, next *flight // in the lane
}

// maxPath bounds what is told of a path.
const maxPath = 200

// fly notes a request that passed the gate. leave must be called when it is over.
func (p passage) fly(r *http.Request, req *Outgoing) *flight {
	f := &flight{pass: p, req: req, host: p.lane.host, path: r.URL.EscapedPath(), began: req.began, since: time.Now()}
	f.conn, _ = r.Context().Value(connKey{}).(*screened)
	f.ctx, f.cancel = context.WithCancelCause(r.Context())
	p.lane.add(f)
	return f
}

// leave: nothing of it is in flight any more. Leaving twice is once.
func (f *flight) leave() {
	if f.gone.Swap(true) {
		return
	}
	f.pass.lane.remove(f)
	f.pass.leave()
}

// over ends what still runs for the request.
func (f *flight) over() {
	f.leave()
	f.cancel(nil)
}

// enter notes how far the request has come. It is false when the request was
// recalled or ended meanwhile: whoever handles it gives up.
func (f *flight) enter(s stage) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fate != nil {
		return false
	}
	if f.stage != s {
		f.stage, f.since = s, time.Now()
	}
	f.seen = f.seen || s != seeking
	return true
}

// enterTunnel is enter for an upgraded connection.
func (f *flight) enterTunnel(t *tunnel) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fate != nil {
		return false
	}
	f.stage, f.since, f.tunnel = tunnelled, time.Now(), t
	return true
}

// disturbed is errRecalled, errEnded or nil.
func (f *flight) disturbed() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fate
}

// stubborn is how long a client that takes nothing may keep a request that was
// told to end. Nothing else keeps one but a busy machine, which is no reason.
const stubborn = time.Second

// disturb takes the request back to the gate or ends it, if that does no harm: a
// safe request without an answer can be sent again; one that no instance has in
// full was not carried out; of one that is being answered for longer than grace
// the outcome is known. Whatever else an instance may have in full is left alone:
// whether it was carried out, only its answer says. tell gets what was done.
func (f *flight) disturb(now time.Time, grace time.Duration, tell func(Flight, error)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fate != nil {
		if f.taking.Load() && now.Sub(f.fateAt) > stubborn {
			f.hangUp()
		}
		return
	}
	var fate error
	switch f.stage {
	case seeking:
		if f.seen && !f.req.safe() {
			return
		}
		fate = errRecalled
	case sending:
		fate = errEnded
		if f.req.safe() {
			fate = errRecalled
		}
	case awaiting:
		if !f.req.safe() {
			return
		}
		fate = errRecalled
	case replying:
		if now.Sub(f.since) < grace {
			return
		}
		fate = errEnded
	case tunnelled:
		fate = errEnded
	}
	what := f.describe(now)
	f.fate, f.fateAt = fate, now
	switch {
	case f.tunnel != nil:
		f.tunnel.end()
	case f.stage == replying && !f.req.eventStream: // what the client has is a part, and of no use
		f.hangUp()
		fallthrough
	default:
		f.cancel(fate)
	}
	tell(what, fate)
}

// hangUp closes the client's connection.
func (f *flight) hangUp() {
	if f.conn != nil {
		f.conn.abort()
	}
}

// endless: no patience lets it end.
func (f *flight) endless() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stage == tunnelled || f.stage == replying && f.req.eventStream
}

// view is the request as others are told of it.
func (f *flight) view(now time.Time) Flight {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.describe(now)
}

// describe is view with f.mu held. Of the target it tells the path only: what
// follows may be secret.
func (f *flight) describe(now time.Time) Flight {
	path := f.path
	if len(path) > maxPath {
		path = path[:maxPath] + "…"
	}
	return Flight{
		State: f.state(), Method: f.req.in.Method, Host: f.host, Path: path, Age: now.Sub(f.began),
		In: f.req.received.Load() + f.up.Load(), Out: f.down.Load(),
	}
}

func (f *flight) state() string {
	switch {
	case f.stage == seeking:
		return Seeking
	case f.stage == sending:
		return Uploading
	case f.stage == awaiting:
		return Unanswered
	case f.stage == tunnelled:
		return Tunnel
	case f.taking.Load():
		return SlowReader
	}
	return Streaming
}

// String is one request in the words of an error.
func (f Flight) String() string {
	return fmt.Sprintf("%s %s%s (%s, for %s, %d bytes in, %d out)", f.Method, f.Host, f.Path, f.State, f.Age.Round(time.Millisecond), f.In, f.Out)
}

// maxTold bounds how many requests an error names, maxListed how many a report.
const (
	maxTold   = 10
	maxListed = 100
)

// TellFlights names requests, of count that there are.
func TellFlights(all []Flight, count int64) string {
	var b strings.Builder
	for i, f := range all[:min(len(all), maxTold)] {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(f.String())
	}
	if more := count - int64(min(len(all), maxTold)); more > 0 {
		fmt.Fprintf(&b, "; and %d more", more)
	}
	return b.String()
}
