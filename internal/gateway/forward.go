package gateway

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"godwit/internal/door"
)

// Forwarder is the upstream half of the data path: one request, one endpoint,
// one response. It knows nothing of routes, weights, holds or retries, so that
// a faster one can take its place.
type Forwarder interface {
	// Forward sends a request and returns as soon as the head of the response
	// is there; its body streams and must be closed. The context ends the
	// exchange at any point. patience bounds the wait for the head after the
	// request is sent. Errors are *ForwardError.
	Forward(ctx context.Context, req *Outgoing, to Endpoint, patience time.Duration) (*http.Response, error)
	// Reach connects to an endpoint, without a request; nil when it can be had.
	Reach(ctx context.Context, to Endpoint) error
	// Forget closes the idle connections of an endpoint, and those in use once
	// they are done.
	Forget(to Endpoint)
	// Close forgets all endpoints.
	Close()
}

// ForwardError says how far a request came.
type ForwardError struct {
	Sent    bool // the endpoint may have seen some of it
	Client  bool // the client's side failed: its body broke off or it went away
	Timeout bool // the endpoint did not answer in time
	Away    bool // nobody could be connected to: the endpoint does not know of it
	Err     error
}

func (e *ForwardError) Error() string { return e.Err.Error() }
func (e *ForwardError) Unwrap() error { return e.Err }

// DialFunc connects to an endpoint. If it speaks TLS, the handshake follows on
// the connection, which it makes without.
type DialFunc func(ctx context.Context, to Endpoint) (net.Conn, error)

// dialFrom connects directly, or through the endpoint's door. Doors below base, the
// working directory, are found from there.
func dialFrom(base string) DialFunc {
	return func(ctx context.Context, to Endpoint) (net.Conn, error) {
		if to.Via != "" {
			via := to.Via
			if below, ok := strings.CutPrefix(via, base+"/"); ok && base != "" {
				via = below
			}
			return door.Dial(ctx, via, "tcp", to.Address)
		}
		d := net.Dialer{KeepAlive: 15 * time.Second}
		return d.DialContext(ctx, "tcp", to.Address)
	}
}

// http1 forwards over pooled HTTP/1.1 connections, one exchange at a time on
// each, without a goroutine of its own unless a body streams.
type http1 struct {
	dial        DialFunc
	dialTimeout time.Duration // of connecting, with the handshake
	tls         *tls.Config
	maxIdle     int           // idle connections kept per endpoint
	idleFor     time.Duration // how long one is kept

	open atomic.Int64 // connections to endpoints
	most int64        // from here on idle ones are closed before others are made

	mu    sync.RWMutex
	pools map[Endpoint]*connPool
}

func newHTTP1(cfg Config) *http1 {
	return &http1{
		dial: cfg.Dial, dialTimeout: cfg.DialTimeout, tls: newTLS(cfg.Roots),
		maxIdle: 512, idleFor: 30 * time.Second, pools: map[Endpoint]*connPool{}, most: int64(cfg.MaxConnections),
	}
}

func (f *http1) pool(to Endpoint) *connPool {
	f.mu.RLock()
	p := f.pools[to]
	f.mu.RUnlock()
	if p != nil {
		return p
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if p = f.pools[to]; p == nil {
		p = &connPool{max: f.maxIdle, keep: f.idleFor}
		f.pools[to] = p
	}
	return p
}

// Forward retries once by itself, on a fresh connection, when an idle one turns
// out to have been closed by the endpoint and the request may be sent again.
func (f *http1) Forward(ctx context.Context, req *Outgoing, to Endpoint, patience time.Duration) (*http.Response, error) {
	p := f.pool(to)
	if c := p.take(req.freshness(f.idleFor)); c != nil {
		res, err := c.exchange(ctx, req, patience)
		if err == nil {
			return res, nil
		}
		stale := !c.answered() && !err.Client && !err.Timeout && ctx.Err() == nil
		if !stale || !(req.Replayable() || !err.Sent && req.Rewindable()) {
			return nil, err
		}
	}
	dialCtx, cancel := context.WithTimeout(ctx, f.dialTimeout)
	defer cancel()
	if f.open.Add(1) > f.most {
		f.shed()
	}
	nc, err := f.connect(dialCtx, to)
	if err != nil {
		f.open.Add(-1)
		return nil, &ForwardError{Err: err, Client: ctx.Err() != nil, Timeout: ctx.Err() == nil && dialCtx.Err() != nil, Away: ctx.Err() == nil && !isHandshake(err)}
	}
	res, ferr := newConn(nc, p, &f.open).exchange(ctx, req, patience)
	if ferr != nil {
		return nil, ferr
	}
	return res, nil
}

func (f *http1) Reach(ctx context.Context, to Endpoint) error {
	ctx, cancel := context.WithTimeout(ctx, f.dialTimeout)
	defer cancel()
	c, err := f.connect(ctx, to)
	if err != nil {
		return err
	}
	return c.Close()
}

// shed closes what lies idle: its descriptors are needed.
func (f *http1) shed() {
	f.mu.RLock()
	defer f.mu.RUnlock()
	for _, p := range f.pools {
		p.empty()
	}
}

func (f *http1) Forget(to Endpoint) {
	f.mu.Lock()
	p := f.pools[to]
	delete(f.pools, to)
	f.mu.Unlock()
	if p != nil {
		p.retire()
	}
}

func (f *http1) Close() {
	f.mu.Lock()
	pools := f.pools
	f.pools = map[Endpoint]*connPool{}
	f.mu.Unlock()
	for _, p := range pools {
		p.retire()
	}
}

// connPool keeps idle connections to one endpoint, the most recently used on
// top. It closes those that nobody used for long: a socket keeps the network it
// was made in alive, also when the environment around it has ended.
type connPool struct {
	max     int
	keep    time.Duration
	mu      sync.Mutex
	idle    []*conn
	sweeper *time.Timer // runs while there are idle connections
	retired bool
}

// take returns an idle connection not older than freshness that looks alive.
func (p *connPool) take(freshness time.Duration) *conn {
	for {
		c := p.pop()
		if c == nil {
			return nil
		}
		// Always looked at, though it costs a system call: what an instance sent
		// unasked must not answer this request, and one that has just ended must
		// not cost a request that cannot be sent again.
		if time.Since(c.idleSince) > freshness || !c.alive() {
			c.Close()
			continue
		}
		c.begin()
		return c
	}
}

func (p *connPool) pop() *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.idle)
	if n == 0 {
		return nil
	}
	c := p.idle[n-1]
	p.idle[n-1] = nil
	p.idle = p.idle[:n-1]
	return c
}

func (p *connPool) put(c *conn) {
	c.idleSince = time.Now()
	p.mu.Lock()
	full := p.retired || len(p.idle) >= p.max
	if !full {
		p.idle = append(p.idle, c)
		if p.sweeper == nil {
			p.sweeper = time.AfterFunc(p.keep, p.sweep)
		}
	}
	p.mu.Unlock()
	if full {
		c.Close()
	}
}

// sweep closes what has been idle for long; the oldest lie at the bottom.
func (p *connPool) sweep() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.retired {
		return
	}
	old := 0
	for ; old < len(p.idle) && time.Since(p.idle[old].idleSince) >= p.keep; old++ {
		p.idle[old].Close()
	}
	p.idle = slices.Delete(p.idle, 0, old)
	if len(p.idle) == 0 {
		p.sweeper = nil
		return
	}
	p.sweeper.Reset(p.keep - time.Since(p.idle[0].idleSince))
}

func (p *connPool) retire() {
	p.mu.Lock()
	p.retired = true
	if p.sweeper != nil {
		p.sweeper.Stop()
	}
	p.mu.Unlock()
	p.empty()
}

// empty closes the idle connections.
func (p *connPool) empty() {
	p.mu.Lock()
	idle := p.idle
	p.idle = nil
	p.mu.Unlock()
	for _, c := range idle {
		c.Close()
	}
}
