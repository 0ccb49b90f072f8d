package gateway

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// proxy is the client's half of the data path: it admits a request, chooses
// endpoints for it, and answers.
type proxy struct {
	control *control
	forward Forwarder
	cfg     Config
	kept    room // bytes of requests' bodies in memory
	// leaving: this gateway is being replaced, connections end with their next response.
	leaving atomic.Bool
}

var buffers = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

// connKey finds a request's connection in its context: the only way net/http
// offers to reach it.
type connKey struct{}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if p.leaving.Load() {
		w.Header().Set("Connection", "close")
	}
	rc := http.NewResponseController(w)
	defer func() { date(rc, p.cfg.WriteIdleTimeout) }() // for what net/http writes after us
	if status := refusedStatus(r); status != 0 {
		refuse(w, status, "the request is malformed, too large, or of a kind that is not served here")
		return
	}
	req := newOutgoing(r, rc, p.cfg.bodyPace(), &p.kept)
	defer req.free()
	answered := false // else what is written would be taken for an answer
	defer func() { p.dismiss(r, rc, req, answered) }()
	req.inform = func(res *http.Response) {
		req.flight.taking.Store(true)
		defer req.flight.taking.Store(false)
		p.inform(w, r, res)
	}
	p.answer(w, r, rc, req)
	answered = true
}

func (p *proxy) answer(w http.ResponseWriter, r *http.Request, rc *http.ResponseController, req *Outgoing) {
	if r.Method == http.MethodConnect {
		req.refuse(w, http.StatusMethodNotAllowed, "CONNECT is not served here")
		return
	}
	if target(r) == "" {
		w.Header().Set("Connection", "close")
		req.refuse(w, http.StatusBadRequest, "the request's target is not served here")
		return
	}
	if r.ContentLength != 0 {
		date(rc, p.cfg.WriteIdleTimeout) // reading a body may write a 100
	}
	host := canonicalHost(r.Host)
	if err := p.receive(r, host, req); err != nil {
		p.refuseBody(w, req, err)
		return
	}
	for p.fly(w, r, host, req) {
	}
}

// dismiss ends a request whose body has not come to its end: its answer goes out,
// and nothing is waited for any more.
func (p *proxy) dismiss(r *http.Request, rc *http.ResponseController, req *Outgoing, answered bool) {
	c, ok := r.Context().Value(connKey{}).(*screened)
	if !ok || req.whole.Load() || c.raw {
		return
	}
	if answered {
		date(rc, p.cfg.WriteIdleTimeout)
		_ = rc.Flush() // fails only on a connection that is gone
	}
	c.stop()
}

// receive reads what is read of a body before the gate, where nobody has to wait
// for it. A client that wants to be asked for its body first is not asked while
// its host is held.
func (p *proxy) receive(r *http.Request, host string, req *Outgoing) error {
	if !p.control.routed(host) {
		return nil // fly refuses it
	}
	if req.expects && req.bufferLimit() > 0 {
		pass, err := p.control.admit(r.Context(), host, req.departure())
		if err != nil {
			return nil // fly meets the same
		}
		pass.leave()
	}
	return req.buffer()
}

// fly sends a request through the gate and to an instance, and answers it. again:
// it was taken back to the gate.
func (p *proxy) fly(w http.ResponseWriter, r *http.Request, host string, req *Outgoing) (again bool) {
	pass, err := p.control.admit(r.Context(), host, req.departure())
	if err != nil {
		p.refuseAdmission(w, req, err)
		return false
	}
	f := pass.fly(r, req)
	defer f.over()
	req.flight = f
	return p.serve(w, r, f, req)
}

func (p *proxy) refuseAdmission(w http.ResponseWriter, req *Outgoing, err error) {
	switch {
	case errors.Is(err, ErrNotFound):
		req.refuse(w, http.StatusNotFound, "no such host here")
	case errors.Is(err, errDeparted):
		panic(http.ErrAbortHandler) // nobody is there to answer
	case errors.Is(err, errTooMany):
		req.unavailable(w, "too many requests are waiting")
	default:
		req.unavailable(w, "the gateway is stopping")
	}
}

func (p *proxy) refuseBody(w http.ResponseWriter, req *Outgoing, err error) {
	w.Header().Set("Connection", "close")
	if errors.Is(err, errBodyIdle) {
		req.refuse(w, http.StatusRequestTimeout, "the request's body did not come")
		return
	}
	req.refuse(w, http.StatusBadRequest, "the request's body broke off or is malformed")
}

func (o *Outgoing) unavailable(w http.ResponseWriter, text string) {
	w.Header().Set("Retry-After", "1")
	o.refuse(w, http.StatusServiceUnavailable, text)
}

// refuse answers at once: what has not come of the body is not waited for, and
// the connection ends with the answer.
func (o *Outgoing) refuse(w http.ResponseWriter, status int, text string) {
	if !o.whole.Load() {
		w.Header().Set("Connection", "close")
		o.fullDuplex()
	}
	refuse(w, status, text)
}

func refuse(w http.ResponseWriter, status int, text string) { http.Error(w, text, status) }

// serve tries endpoints until one answers. An endpoint that could not be
// reached has seen nothing, so any request goes to another; one that failed
// later is followed by another only if the request is replayable. Where none can
// be reached the request goes back to the gate, and waits there.
func (p *proxy) serve(w http.ResponseWriter, r *http.Request, f *flight, req *Outgoing) (again bool) {
	a := &attempts{proxy: p, flight: f, req: req}
	defer a.leave()
	res, err := a.run(f.ctx)
	if err == nil && res.StatusCode != http.StatusSwitchingProtocols {
		req.eventStream = isEventStream(res)
		if !f.enter(replying) {
			res.Body.Close()
			err = errEnded
		}
	}
	if err != nil {
		return a.giveUp(w, r, err)
	}
	a.answered(res)
	if res.StatusCode == http.StatusSwitchingProtocols {
		if err := p.tunnel(w, f, res); err != nil {
			res.Body.Close()
			p.cfg.Log.Warn("upgrade failed", "endpoint", a.last.ID, "error", told(err))
			a.req.refuse(w, http.StatusBadGateway, "the instance could not switch protocols")
		}
		return false
	}
	whole := func() { // what is left is between us and the client
		a.leave()
		f.leave()
	}
	if err := p.reply(w, res, f, whole); err != nil {
		ended := f.disturbed() != nil
		if ended && req.eventStream {
			return false // ends as a stream does; its client connects again
		}
		if !ended && r.Context().Err() == nil {
			a.brokeOff(res, err)
		}
		panic(http.ErrAbortHandler) // the client must not take what it has for the whole
	}
	return false
}

func isEventStream(res *http.Response) bool {
	kind, _, _ := strings.Cut(res.Header.Get("Content-Type"), ";")
	return res.ContentLength < 0 && strings.EqualFold(strings.TrimSpace(kind), "text/event-stream")
}

// giveUp answers a request that got no response, unless it was taken back.
func (a *attempts) giveUp(w http.ResponseWriter, r *http.Request, err error) (again bool) {
	fate := a.flight.disturbed()
	a.leave()
	a.flight.leave()
	switch {
	case fate == nil && errors.Is(err, errAway):
		return true
	case fate == nil:
		a.refuse(w, r, err)
	case fate == errRecalled && r.Context().Err() != nil:
		panic(http.ErrAbortHandler) // nobody is there to answer
	case fate == errRecalled:
		return true
	default: // whoever interrupted the reading of its body has ended the context, too
		w.Header().Set("Connection", "close")
		a.req.unavailable(w, "the request was ended before all of it had come, because others waited for it; send it again")
	}
	return false
}

// attempts is one request on its way through endpoints.
type attempts struct {
	*proxy
	flight *flight
	req    *Outgoing
	tried  []*endpoint
	last   *endpoint  // entered; must be left
	shied  []*release // releases whose failure another release answers
}

// maxAttempts bounds how many endpoints one request may cost.
const maxAttempts = 4

// run returns a response to give to the client, or an error.
func (a *attempts) run(ctx context.Context) (*http.Response, error) {
	var w wish
	for {
		if !a.flight.enter(seeking) {
			return nil, errEnded
		}
		e, s := a.flight.pass.pool.pick(w)
		if e == nil {
			return nil, a.orAway(errNoEndpoint)
		}
		a.last = e
		a.flight.at.Store(e)
		shield := a.shields(e, s)
		patience := a.cfg.ResponseTimeout
		if shield {
			patience = min(patience, a.cfg.ShieldTimeout)
		}
		res, err := a.attempt(ctx, e, patience)
		failed := err != nil || isFailure(res.StatusCode)
		if !failed || err == nil && !shield {
			return res, nil
		}
		a.tried = append(a.tried, e)
		if a.nobody(ctx, err, s) {
			return nil, a.orAway(err)
		}
		if !a.again(ctx, err, shield) {
			if err == nil {
				return res, nil
			}
			return nil, err
		}
		if res != nil {
			res.Body.Close()
		}
		w = wish{avoid: a.tried}
		if shield {
			a.shied = append(a.shied, e.release)
			w.before = e.release.number
		} else if len(a.shied) > 0 {
			w.before = a.shied[len(a.shied)-1].number
		}
		a.leave()
	}
}

// leave leaves the last endpoint, once. It also forgets the connections to one that went
// out of its pool while it was in use: they were kept for the next request, which
// will not come.
func (a *attempts) leave() {
	e := a.last
	if e == nil {
		return
	}
	a.last = nil
	a.flight.at.Store(nil)
	e.leave()
	if e.gone.Load() {
		a.forward.Forget(e.Endpoint)
	}
}

// shields: a failure of this endpoint is to be answered by an older release.
func (a *attempts) shields(e *endpoint, s *poolState) bool {
	return len(s.shares) > 1 && a.req.Replayable() && e.release.number > s.shares[0].release.number
}

// attempt sends the request once and counts it.
func (a *attempts) attempt(ctx context.Context, e *endpoint, patience time.Duration) (*http.Response, error) {
	began := time.Now()
	res, err := a.forward.Forward(ctx, a.req, e.Endpoint, patience)
	took := time.Since(began)
	if err == nil {
		e.release.observe(took, res.StatusCode >= 500)
		return res, nil
	}
	var fe *ForwardError
	if !errors.As(err, &fe) {
		fe = &ForwardError{Sent: true, Err: err}
	}
	e.release.observe(took, !fe.Client)
	if fe.Sent {
		a.req.sends++
	}
	if !fe.Sent && !fe.Client {
		e.down.Store(time.Now().Add(downFor).UnixNano())
	}
	if !fe.Client {
		a.tell(e, "endpoint failed", err)
	}
	return nil, fe
}

// brokeOff counts a response that ended before its end.
func (a *attempts) brokeOff(res *http.Response, err error) {
	if res.StatusCode < 500 { // counted already otherwise
		a.last.release.errors.Add(1)
	}
	a.tell(a.last, "response broke off", err)
}

// tell logs at most one failure per endpoint and second.
func (a *attempts) tell(e *endpoint, what string, err error) {
	now, last := time.Now().UnixNano(), e.told.Load()
	if now-last < int64(time.Second) || !e.told.CompareAndSwap(last, now) {
		return
	}
	a.cfg.Log.Warn(what, "pool", a.flight.pass.pool.name, "endpoint", e.ID, "release", e.Release, "error", told(err))
}

func (a *attempts) again(ctx context.Context, err error, shield bool) bool {
	if ctx.Err() != nil || len(a.tried) >= maxAttempts {
		return false
	}
	if shield {
		return true
	}
	var fe *ForwardError
	if !errors.As(err, &fe) || fe.Client {
		return false
	}
	if !fe.Sent {
		return a.req.Rewindable()
	}
	return a.req.Replayable() && !fe.Timeout && a.req.sends < maxAttempts
}

// nobody: the last endpoint could not be connected to, and no other is left to try.
func (a *attempts) nobody(ctx context.Context, err error, s *poolState) bool {
	var fe *ForwardError
	if ctx.Err() != nil || !errors.As(err, &fe) || !fe.Away || !a.req.Rewindable() {
		return false
	}
	return len(a.tried) >= maxAttempts || !slices.ContainsFunc(s.shares, func(sh *share) bool { return !exhausted(sh.endpoints, a.tried) })
}

// orAway is errAway when the request is to wait for an endpoint, else err.
func (a *attempts) orAway(err error) error {
	if a.req.awaits.IsZero() {
		a.req.awaits = time.Now()
	}
	if time.Since(a.req.awaits) < a.cfg.EndpointWait && a.control.await(a.flight.pass.pool) {
		return errAway
	}
	return err
}

// answered settles who shielded whom.
func (a *attempts) answered(res *http.Response) {
	if isFailure(res.StatusCode) {
		return
	}
	for _, r := range a.shied {
		r.shielded.Add(1)
	}
}

// isFailure: statuses that say the instance failed, not the request.
func isFailure(status int) bool {
	switch status {
	case http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

func (a *attempts) refuse(w http.ResponseWriter, r *http.Request, err error) {
	var fe *ForwardError
	switch {
	case errors.Is(err, errNoEndpoint):
		a.req.unavailable(w, "no instance is ready")
	case errors.As(err, &fe) && fe.Away && r.Context().Err() == nil:
		a.req.unavailable(w, "no instance can be reached")
	case errors.Is(err, errClientBody): // net/http ends the context then too
		a.refuseBody(w, a.req, err)
	case r.Context().Err() != nil:
		panic(http.ErrAbortHandler) // nobody is there to answer
	case errors.As(err, &fe) && fe.Timeout:
		a.req.refuse(w, http.StatusGatewayTimeout, "the instance did not answer in time")
	default:
		a.req.refuse(w, http.StatusBadGateway, "the instance could not be reached or did not answer")
	}
}
