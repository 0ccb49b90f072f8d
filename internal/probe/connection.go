package probe

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// connection is one keep-alive HTTP/1.1 connection. net/http's own client is
// not used because it sends a request again by itself when a kept connection
// turns out to be closed, and this load must not retry what it wasn't asked to.
// A connection that was closed while it was idle is noticed before the request
// is sent, and replaced.
type connection struct {
	conn   net.Conn
	reader *bufio.Reader
	out    []byte
}

// target is where requests go.
type target struct {
	address string // host:port
	host    string // Host header
	dial    dialFunc
}

// dialError is an error before anything was sent.
type dialError struct{ cause error }

func (e *dialError) Error() string { return "connect: " + e.cause.Error() }
func (e *dialError) Unwrap() error { return e.cause }

// maxShown of an answer in an example of a failure.
const maxShown = 200

// exchange sends s and reads the whole answer, until ctx ends. It returns the
// status and, if it is no success, the beginning of the body.
func (c *connection) exchange(ctx context.Context, t target, s shot) (status int, shown string, err error) {
	if err := c.open(ctx, t); err != nil {
		return 0, "", err
	}
	conn := c.conn // the function may run when c has another already
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	status, shown, keep, err := c.roundTrip(t, s)
	if !stop() || !keep || err != nil {
		c.close()
	}
	return status, shown, err
}

// open makes the connection ready for one exchange: the one from before, or a new one.
func (c *connection) open(ctx context.Context, t target) error {
	deadline, _ := ctx.Deadline()
	if c.conn != nil && c.reader.Buffered() == 0 && c.conn.SetDeadline(deadline) == nil && alive(c.conn) {
		return nil
	}
	c.close()
	conn, err := t.dial(ctx, "tcp", t.address)
	if err != nil {
		return &dialError{err}
	}
	c.conn = conn
	if c.reader == nil {
		c.reader = bufio.NewReader(conn)
	}
	c.reader.Reset(conn)
	return conn.SetDeadline(deadline)
}

func (c *connection) close() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}

func (c *connection) roundTrip(t target, s shot) (status int, shown string, keep bool, err error) {
	c.out = appendRequest(c.out[:0], t.host, s)
	if _, err := c.conn.Write(c.out); err != nil {
		return 0, "", false, err
	}
	response, err := c.response(s.request.method)
	if err != nil {
		return 0, "", false, err
	}
	defer response.Body.Close()
	var body bytes.Buffer
	if response.StatusCode/100 != 2 {
		if _, err := io.CopyN(&body, response.Body, maxShown); err != nil && !errors.Is(err, io.EOF) {
			return 0, "", false, err
		}
	}
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return 0, "", false, err
	}
	return response.StatusCode, body.String(), !response.Close, nil
}

// response reads the final answer, past any interim ones.
func (c *connection) response(method string) (*http.Response, error) {
	for {
		response, err := http.ReadResponse(c.reader, &http.Request{Method: method})
		if err != nil || response.StatusCode >= 200 {
			return response, err
		}
	}
}

func appendRequest(out []byte, host string, s shot) []byte {
	line := func(parts ...string) {
		for _, p := range parts {
			out = append(out, p...)
		}
		out = append(out, "\r\n"...)
	}
	line(s.request.method, " ", s.path, " HTTP/1.1")
	line("Host: ", host)
	line("User-Agent: godwit-probe")
	for i, h := range s.request.headers {
		line(h.name, ": ", s.headers[i])
	}
	if s.body != "" || !slices.Contains([]string{http.MethodGet, http.MethodHead}, s.request.method) {
		line("Content-Length: ", strconv.Itoa(len(s.body)))
	}
	line()
	return append(out, s.body...)
}

// classify says why an exchange failed.
func classify(err error) Class {
	var netErr net.Error
	_, dialling := errors.AsType[*dialError](err)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded),
		errors.As(err, &netErr) && netErr.Timeout():
		return Timeout
	case errors.Is(err, syscall.ECONNREFUSED):
		return Refused
	case dialling:
		return Dial
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return Reset
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.ErrClosedPipe):
		return Closed
	}
	return Protocol
}
