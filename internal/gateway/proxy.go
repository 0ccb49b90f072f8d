package gateway

import (
	"context"
	"errors"
	"net"
	"net/http"
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
	if r.Method == http.MethodConnect {
		refuse(w, http.StatusMethodNotAllowed, "CONNECT is not served here")
		return
	}
	if target(r) == "" {
		w.Header().Set("Connection", "close")
		refuse(w, http.StatusBadRequest, "the request's target is not served here")
		return
	}
	var away departure
	if r.ContentLength != 0 {
		away.conn, _ = r.Context().Value(connKey{}).(net.Conn)
	}
	pass, err := p.control.admit(r.Context(), canonicalHost(r.Host), away)
	if err != nil {
		p.refuseAdmission(w, err)
		return
	}
	defer pass.leave()
	if r.ContentLength != 0 {
		date(rc, p.cfg.WriteIdleTimeout) // reading a body may write a 100
	}
	req, err := newOutgoing(r, rc, p.cfg.BodyIdleTimeout, &p.kept)
	defer req.free()
	if err != nil {
		p.refuseBody(w, err)
		return
	}
	req.inform = func(res *http.Response) { p.inform(w, r, res) }
	p.serve(w, r, pass, req)
}

func (p *proxy) refuseAdmission(w http.ResponseWriter, err error) {
	switch {
	case errors.Is(err, ErrNotFound):
		refuse(w, http.StatusNotFound, "no such host here")
	case errors.Is(err, errDeparted):
		panic(http.ErrAbortHandler) // nobody is there to answer
	case errors.Is(err, errTooMany):
		unavailable(w, "too many requests are waiting")
	default:
		unavailable(w, "the gateway is stopping")
	}
}

func (p *proxy) refuseBody(w http.ResponseWriter, err error) {
	w.Header().Set("Connection", "close")
	if errors.Is(err, errBodyIdle) {
		refuse(w, http.StatusRequestTimeout, "the request's body did not come")
		return
	}
	refuse(w, http.StatusBadRequest, "the request's body broke off or is malformed")
}

func unavailable(w http.ResponseWriter, text string) {
	w.Header().Set("Retry-After", "1")
	refuse(w, http.StatusServiceUnavailable, text)
}

func refuse(w http.ResponseWriter, status int, text string) { http.Error(w, text, status) }

// serve tries endpoints until one answers. An endpoint that could not be
// reached has seen nothing, so any request goes to another; one that failed
// later is followed by another only if the request is replayable.
func (p *proxy) serve(w http.ResponseWriter, r *http.Request, pass passage, req *Outgoing) {
	a := &attempts{proxy: p, pass: pass, req: req}
	res, err := a.run(r.Context())
	if err != nil {
		a.refuse(w, r, err)
		return
	}
	defer a.leave(a.last)
	a.answered(res)
	if res.StatusCode == http.StatusSwitchingProtocols {
		if err := p.tunnel(w, pass, a.last.release.number, res); err != nil {
			res.Body.Close()
			p.cfg.Log.Warn("upgrade failed", "endpoint", a.last.ID, "error", err)
			refuse(w, http.StatusBadGateway, "the instance could not switch protocols")
		}
		return
	}
	if err := p.reply(w, res); err != nil {
		if r.Context().Err() == nil {
			a.brokeOff(res, err)
		}
		panic(http.ErrAbortHandler) // the client must not take what it has for the whole
	}
}

// attempts is one request on its way through endpoints.
type attempts struct {
	*proxy
	pass  passage
	req   *Outgoing
	tried []*endpoint
	last  *endpoint  // entered; must be left
	shied []*release // releases whose failure another release answers
}

// maxAttempts bounds how many endpoints one request may cost.
const maxAttempts = 4

// run returns a response to give to the client, with a.last entered, or an
// error with a.last left.
func (a *attempts) run(ctx context.Context) (*http.Response, error) {
	var w wish
	for {
		e, s, err := a.pass.pool.pickOrWait(ctx, w, a.cfg.EndpointWait)
		if err != nil {
			return nil, err
		}
		a.last = e
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
		if !a.again(ctx, err, shield) {
			if err == nil {
				return res, nil
			}
			a.leave(e)
			return nil, err
		}
		if res != nil {
			res.Body.Close()
		}
		a.tried = append(a.tried, e)
		w = wish{avoid: a.tried}
		if shield {
			a.shied = append(a.shied, e.release)
			w.before = e.release.number
		} else if len(a.shied) > 0 {
			w.before = a.shied[len(a.shied)-1].number
		}
		a.leave(e)
	}
}

// leave also forgets the connections to an endpoint that went out of its pool
// while it was in use: they were kept for the next request, which will not come.
func (a *attempts) leave(e *endpoint) {
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
	a.cfg.Log.Warn(what, "pool", a.pass.pool.name, "endpoint", e.ID, "release", e.Release, "error", err)
}

func (a *attempts) again(ctx context.Context, err error, shield bool) bool {
	if ctx.Err() != nil || len(a.tried)+1 >= maxAttempts {
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
	return a.req.Replayable() && !fe.Timeout
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
		unavailable(w, "no instance is ready")
	case errors.Is(err, errClientBody): // net/http ends the context then too
		a.refuseBody(w, err)
	case r.Context().Err() != nil:
		panic(http.ErrAbortHandler) // nobody is there to answer
	case errors.As(err, &fe) && fe.Timeout:
		refuse(w, http.StatusGatewayTimeout, "the instance did not answer in time")
	default:
		refuse(w, http.StatusBadGateway, "the instance could not be reached or did not answer")
	}
}
