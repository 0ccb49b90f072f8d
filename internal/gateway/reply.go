package gateway

import (
	"io"
	"maps"
	"net/http"
	"slices"
	"time"
)

// reply gives a response to the client. An error means that the endpoint broke
// off; a client that broke off is no error.
func (p *proxy) reply(w http.ResponseWriter, res *http.Response) error {
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
	c := clientCopy{w: w, rc: http.NewResponseController(w), idle: p.cfg.WriteIdleTimeout, stream: res.ContentLength < 0}
	if len(announced) > 0 {
		c.flush() // makes the response chunked, so that trailers can follow
	}
	if err := c.from(res.Body); err != nil {
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

// clientCopy copies a body to the client, and gives up on a client that takes
// nothing for idle.
type clientCopy struct {
	w      http.ResponseWriter
	rc     *http.ResponseController
	idle   time.Duration
	stream bool // pass on at once what comes: its length is unknown, so somebody may wait for it
	dated  bool
}

func (c *clientCopy) from(body io.Reader) error {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	defer c.undate()
	for first := true; ; first = false {
		n, err := body.Read(*buf)
		if n > 0 {
			if !first || n == len(*buf) {
				c.date()
			}
			if _, werr := c.w.Write((*buf)[:n]); werr != nil {
				return nil
			}
			if c.stream && err == nil && !c.flush() {
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

// date sets a deadline for the next write; bodies of one small read do without.
func (c *clientCopy) date() {
	c.dated = true
	_ = c.rc.SetWriteDeadline(time.Now().Add(c.idle))
}

func (c *clientCopy) undate() {
	if c.dated {
		_ = c.rc.SetWriteDeadline(time.Now().Add(c.idle)) // for what net/http still has buffered
	}
}

func (c *clientCopy) flush() bool { return c.rc.Flush() == nil }

// inform passes on a 1xx response.
func inform(w http.ResponseWriter, res *http.Response) {
	h := w.Header()
	copyResponseHeader(h, res.Header)
	w.WriteHeader(res.StatusCode)
	for name := range res.Header {
		h.Del(name)
	}
}
