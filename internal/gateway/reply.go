package gateway

import (
	"io"
	"maps"
	"net/http"
	"slices"
	"time"
)

// reply gives a response to the client; whole is called once all of it has come
// from the endpoint. An error means that the endpoint broke off; a client that
// broke off is no error.
func (p *proxy) reply(w http.ResponseWriter, res *http.Response, f *flight, whole func()) error {
	defer res.Body.Close()
	h := w.Header()
	copyResponseHeader(h, res.Header)
	if _, typed := h["Content-Type"]; !typed {
		h["Content-Type"] = nil // keeps net/http from guessing one
	}
	announced := slices.Collect(maps.Keys(res.Trailer))
	for _, name := range announced {
		h.Add("Trailer", name)
	}
	w.WriteHeader(res.StatusCode)
	c := clientCopy{w: w, rc: http.NewResponseController(w), pacer: p.cfg.readPace().pacer(), flight: f, stream: res.ContentLength < 0, quiet: quietness(res.Body)}
	// Trailers can follow only what is chunked, which a flush makes it. And
	// while the instance is silent, its head is all there is to pass on.
	if (len(announced) > 0 || c.quiet()) && !c.flush() {
		return nil
	}
	if err := c.from(res.Body, whole); err != nil {
		return err
	}
	for name, values := range res.Trailer {
		if !slices.Contains(announced, name) {
			name = http.TrailerPrefix + name
		}
		h[name] = values
	}
	return nil
}

// quietness tells whether the next read of a body may have to wait. Of a body
// that cannot say, that is to be feared.
func quietness(body io.Reader) func() bool {
	if b, ok := body.(interface{ quiet() bool }); ok {
		return b.quiet
	}
	return func() bool { return true }
}

// clientCopy copies a body to the client, and gives up on a client that does not
// keep the pace. What net/http keeps for itself until the request is over has a
// deadline of ServeHTTP's.
type clientCopy struct {
	w      http.ResponseWriter
	rc     *http.ResponseController
	flight *flight
	pacer  pacer
	stream bool // of unknown length: pass on at once what comes
	quiet  func() bool
}

// smallWrite is what net/http certainly keeps until the request is over.
const smallWrite = 1 << 10

func (c *clientCopy) from(body io.Reader, whole func()) error {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	for first := true; ; first = false {
		n, err := body.Read(*buf)
		if err == io.EOF {
			whole()
		}
		if n > 0 {
			small := first && n <= smallWrite
			if !c.give((*buf)[:n], small, err == nil && (c.stream || c.quiet())) {
				return nil
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// give is false when the client does not take it. What is small net/http keeps
// for a while, unless it is flushed.
func (c *clientCopy) give(b []byte, small, flush bool) bool {
	if small && !flush {
		_, err := c.w.Write(b)
		c.flight.down.Add(int64(len(b)))
		return err == nil
	}
	began := time.Now()
	date(c.rc, c.pacer.left())
	c.flight.taking.Store(true)
	defer c.flight.taking.Store(false)
	_, err := c.w.Write(b)
	if err == nil && flush {
		err = c.rc.Flush()
	}
	c.pacer.moved(len(b), time.Since(began))
	c.flight.down.Add(int64(len(b)))
	return err == nil
}

func (c *clientCopy) flush() bool {
	date(c.rc, c.pacer.idle)
	c.flight.taking.Store(true)
	defer c.flight.taking.Store(false)
	return c.rc.Flush() == nil
}

// date gives the client idle to take what is written next.
func date(rc *http.ResponseController, idle time.Duration) {
	_ = rc.SetWriteDeadline(time.Now().Add(idle)) // fails only on a connection that is gone
}

// inform passes on a 1xx response, which HTTP/1.0 does not know.
func (p *proxy) inform(w http.ResponseWriter, r *http.Request, res *http.Response) {
	if !r.ProtoAtLeast(1, 1) {
		return
	}
	date(http.NewResponseController(w), p.cfg.WriteIdleTimeout)
	h := w.Header()
	before := maps.Clone(h)
	copyResponseHeader(h, res.Header)
	w.WriteHeader(res.StatusCode)
	clear(h)
	maps.Copy(h, before)
}
