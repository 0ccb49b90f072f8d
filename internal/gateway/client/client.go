// Package client is how others talk to the gateway process: the engine, the
// local site, migrate's Traffic. It speaks the admin API over the gateway's unix
// socket, on connections that are kept alive, because its calls lie inside the
// write pause of a cutover.
//
// Errors are those of package gateway (ErrNotFound, ErrInvalid, ErrConflict,
// ErrExpired), wrapped. Every call is idempotent and ends soon after its
// context. It may be imported by engine, site/local and migrate's callers.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/cenkalti/backoff/v5"

	"godwit/internal/fleet"
	"godwit/internal/gateway"
)

// Client of one gateway. It is safe for use by several goroutines.
type Client struct {
	socket string
	http   *http.Client
}

// replacement bounds how long a call waits for a gateway that is just being
// replaced by another.
const replacement = 2 * time.Second

// New returns a client of the gateway whose admin API is at socket. It does not
// connect yet.
func New(socket string) *Client {
	var d net.Dialer
	return &Client{socket: socket, http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return d.DialContext(ctx, "unix", socket)
		},
		MaxIdleConnsPerHost: 4,
		DisableCompression:  true,
	}}}
}

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// SetPool makes or replaces a pool. What is in flight on removed endpoints ends
// undisturbed.
func (c *Client) SetPool(ctx context.Context, name string, p gateway.Pool) error {
	return c.call(ctx, http.MethodPut, "/pools/"+escape(name), p, nil)
}

// DeletePool removes a pool. ErrConflict when a route points at it.
func (c *Client) DeletePool(ctx context.Context, name string) error {
	return c.call(ctx, http.MethodDelete, "/pools/"+escape(name), nil, nil)
}

// SetRoutes points hosts at pools (host -> pool), all at the same instant;
// other routes stay.
func (c *Client) SetRoutes(ctx context.Context, routes map[string]string) error {
	return c.call(ctx, http.MethodPut, "/routes", routes, nil)
}

// DeleteRoute removes the route of a host. No error when there is none.
func (c *Client) DeleteRoute(ctx context.Context, host string) error {
	return c.call(ctx, http.MethodDelete, "/routes/"+url.PathEscape(host), nil, nil)
}

// Table is what the gateway routes by now.
func (c *Client) Table(ctx context.Context) (gateway.Table, error) {
	var t gateway.Table
	return t, c.call(ctx, http.MethodGet, "/table", nil, &t)
}

// Hold makes new requests for hosts wait until Release, or until the lease is
// over, when they go where the request says for this case. The same id again
// renews the lease; ErrExpired when it had ended already.
func (c *Client) Hold(ctx context.Context, id string, req gateway.HoldRequest) error {
	return c.call(ctx, http.MethodPut, "/holds/"+escape(id), req, nil)
}

// HoldStatus observes a hold.
func (c *Client) HoldStatus(ctx context.Context, id string) (gateway.HoldStatus, error) {
	var s gateway.HoldStatus
	return s, c.call(ctx, http.MethodGet, "/holds/"+escape(id), nil, &s)
}

// Settled waits until the requests that are in flight on hosts now have ended,
// for grace at most, and disturbs none; it returns those that are left.
func (c *Client) Settled(ctx context.Context, hosts []string, grace time.Duration) ([]gateway.Flight, error) {
	query := url.Values{"host": hosts, "grace_ms": {strconv.FormatInt(grace.Milliseconds(), 10)}}
	var s gateway.Settled
	return s.Left, c.call(ctx, http.MethodGet, "/settled?"+query.Encode(), nil, &s)
}

// Drained waits until nothing that passed before the hold is in flight on its
// hosts. What still is after the hold's grace is taken back to the gate or ended,
// where that does no harm; Release tells what was. ErrExpired when the hold ends
// first. The error names the requests that are left.
func (c *Client) Drained(ctx context.Context, id string) error {
	err := c.call(ctx, http.MethodGet, "/holds/"+escape(id)+"/drained", nil, nil)
	if err == nil || ctx.Err() == nil {
		return err
	}
	// Nobody waits for the gateway's answer any more; it is asked apart.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWord)
	defer cancel()
	if h, herr := c.HoldStatus(ctx, id); herr == nil && len(h.Flights) > 0 {
		return fmt.Errorf("%w; still in flight: %s", err, gateway.TellFlights(h.Flights, h.InFlight))
	}
	return err
}

// lastWord bounds the question what a drain has waited for in vain.
const lastWord = time.Second

// Release ends a hold; its requests go where the routes point. ErrNotFound when
// there is none, as after a restart of the gateway.
func (c *Client) Release(ctx context.Context, id string) (gateway.Held, error) {
	var h gateway.Held
	return h, c.call(ctx, http.MethodDelete, "/holds/"+escape(id), nil, &h)
}

// WaitIdle waits until a release of a pool has nothing in flight. ErrConflict
// when it still has weight.
func (c *Client) WaitIdle(ctx context.Context, pool string, release int) error {
	return c.call(ctx, http.MethodGet, "/pools/"+escape(pool)+"/idle?release="+strconv.Itoa(release), nil, nil)
}

// Traffic is what each release of a pool has served. ErrNotFound without the pool.
func (c *Client) Traffic(ctx context.Context, pool string) (map[int]fleet.Traffic, error) {
	s, err := c.Stats(ctx)
	if err != nil {
		return nil, err
	}
	p, ok := s.Pools[pool]
	if !ok {
		return nil, fmt.Errorf("traffic of pool %s: %w", pool, gateway.ErrNotFound)
	}
	return p.Traffic, nil
}

// Stats is what the gateway sees.
func (c *Client) Stats(ctx context.Context) (gateway.Stats, error) {
	var s gateway.Stats
	return s, c.call(ctx, http.MethodGet, "/stats", nil, &s)
}

// healthy bounds how long Healthy waits. A socket takes connections while its
// gateway is away, or hangs.
const healthy = 2 * time.Second

// Healthy is nil when a gateway answers now.
func (c *Client) Healthy(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, healthy)
	defer cancel()
	_, err := c.once(ctx, http.MethodGet, "/healthz", nil, nil)
	return err
}

// Shutdown asks the gateway to end gracefully; it does not wait for the end.
func (c *Client) Shutdown(ctx context.Context) error {
	return c.call(ctx, http.MethodPost, "/shutdown", nil, nil)
}

// escape keeps the slashes of a name and nothing else that means something in a URL.
func escape(name string) string { return (&url.URL{Path: name}).EscapedPath() }

// call makes one call, and again while a gateway is being replaced.
func (c *Client) call(ctx context.Context, method, path string, body, into any) error {
	var encoded []byte
	if body != nil {
		var err error
		if encoded, err = json.Marshal(body); err != nil {
			return fmt.Errorf("gateway: %s %s: %w", method, path, err)
		}
	}
	again, err := c.once(ctx, method, path, encoded, into)
	if !again {
		return err
	}
	wait := backoff.NewConstantBackOff(10 * time.Millisecond)
	_, err = backoff.Retry(ctx, func() (struct{}, error) {
		c.http.CloseIdleConnections() // those lead to the gateway that was replaced
		again, err := c.once(ctx, method, path, encoded, into)
		if err != nil && !again {
			err = backoff.Permanent(err)
		}
		return struct{}{}, err
	}, backoff.WithBackOff(wait), backoff.WithMaxElapsedTime(replacement))
	return err
}

// once makes one call. again: another gateway is about to answer instead.
func (c *Client) once(ctx context.Context, method, path string, body []byte, into any) (again bool, err error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://gateway"+path, bytes.NewReader(body))
	if err != nil {
		return false, fmt.Errorf("gateway: %w", err)
	}
	res, err := c.http.Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) { // its words repeat ours
			err = ue.Err
		}
		// A connection that broke led to a gateway that was ending; net/http has many
		// words for it. A refused one met a socket that somebody left: the next is near.
		var op *net.OpError
		again := !errors.As(err, &op) || op.Op != "dial" || errors.Is(err, syscall.ECONNREFUSED)
		return again && ctx.Err() == nil, fmt.Errorf("gateway at %s: %s %s: %w", c.socket, method, path, err)
	}
	defer res.Body.Close()
	defer io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10)) // so that the connection can be kept
	if res.StatusCode == http.StatusOK {
		if into == nil {
			return false, nil
		}
		if err := json.NewDecoder(res.Body).Decode(into); err != nil {
			return false, fmt.Errorf("gateway: answer to %s %s: %w", method, path, err)
		}
		return false, nil
	}
	err = problem(res, method, path)
	return errors.Is(err, gateway.ErrSuperseded), err
}

func problem(res *http.Response, method, path string) error {
	var p gateway.Problem
	if err := json.NewDecoder(io.LimitReader(res.Body, 64<<10)).Decode(&p); err != nil || p.Error == "" {
		p.Error = res.Status
	}
	kind := gateway.Kind(res.StatusCode)
	if kind == nil {
		return fmt.Errorf("gateway: %s %s: %s", method, path, p.Error)
	}
	if strings.Contains(p.Error, kind.Error()) {
		p.Error = strings.TrimSpace(strings.ReplaceAll(p.Error, kind.Error(), ""))
	}
	return fmt.Errorf("gateway: %s %s: %w: %s", method, path, kind, p.Error)
}
