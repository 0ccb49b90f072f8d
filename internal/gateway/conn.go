package gateway

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Limits of what an endpoint may answer.
const (
	maxResponseHead  = 256 << 10 // bytes of status line and headers
	maxInformational = 16        // 1xx responses before the final one
	continueWait     = time.Second
)

// conn is one connection to an endpoint.
type conn struct {
	net.Conn
	pool      *connPool
	in        headLimit
	out       countedWriter
	br        *bufio.Reader
	bw        *bufio.Writer
	idleSince time.Time
	open      *atomic.Int64 // counts those that are open
	closed    atomic.Bool
}

// Close may be called several times, by several.
func (c *conn) Close() error {
	if !c.closed.Swap(true) {
		c.open.Add(-1)
	}
	return c.Conn.Close()
}

// headLimit bounds what is read before the body begins.
type headLimit struct {
	conn net.Conn
	left int // negative: no limit
	read bool
}

var errHeadTooLarge = fmt.Errorf("the head of the response is larger than %d bytes", maxResponseHead)

func (l *headLimit) Read(b []byte) (int, error) {
	if l.left == 0 {
		return 0, errHeadTooLarge
	}
	if l.left > 0 && len(b) > l.left {
		b = b[:l.left]
	}
	n, err := l.conn.Read(b)
	if n > 0 {
		l.read = true
	}
	if l.left > 0 {
		l.left -= n
	}
	return n, err
}

// countedWriter knows whether the endpoint may have seen anything. An endpoint
// that takes nothing for patience gets no more; a first small write does without
// a deadline, there is always room for it.
type countedWriter struct {
	conn     net.Conn
	patience time.Duration
	sent     bool
	dated    bool
}

func (w *countedWriter) Write(b []byte) (int, error) {
	if w.sent || len(b) > 4<<10 {
		w.dated = true
		if err := w.conn.SetWriteDeadline(time.Now().Add(w.patience)); err != nil {
			return 0, err
		}
	}
	n, err := w.conn.Write(b)
	w.sent = w.sent || n > 0
	return n, err
}

func newConn(nc net.Conn, p *connPool, open *atomic.Int64) *conn {
	c := &conn{Conn: nc, pool: p, open: open, in: headLimit{conn: nc, left: -1}, out: countedWriter{conn: nc}}
	c.br = bufio.NewReader(&c.in)
	c.bw = bufio.NewWriter(&c.out)
	c.begin()
	return c
}

func (c *conn) begin()         { c.in.read, c.out.sent = false, false }
func (c *conn) answered() bool { return c.in.read }

// alive looks, without waiting, whether the endpoint has closed the connection
// or sent something nobody asked for; either makes it unusable.
func (c *conn) alive() bool {
	sc, ok := c.Conn.(syscall.Conn)
	if !ok {
		s, ok := c.Conn.(*secured)
		return !ok || s.alive()
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	quiet := false
	err = raw.Read(func(fd uintptr) bool {
		var b [1]byte
		n, err := syscall.Read(int(fd), b[:])
		quiet = n < 0 && (errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EINTR))
		return true
	})
	return err == nil && quiet
}

// exchange sends a request and reads the head of its response. The connection
// goes back to its pool when the response's body has been read to its end.
func (c *conn) exchange(ctx context.Context, req *Outgoing, patience time.Duration) (*http.Response, *ForwardError) {
	x := &exchange{conn: c, req: req, patience: patience}
	x.unwatch = context.AfterFunc(ctx, func() { c.Close() })
	res, err := x.head()
	if err == nil {
		return x.attach(res), nil
	}
	x.abandon()
	return nil, &ForwardError{
		Sent:    x.out.sent,
		Client:  ctx.Err() != nil || x.bodyErr != nil,
		Timeout: ctx.Err() == nil && x.bodyErr == nil && errors.Is(err, os.ErrDeadlineExceeded),
		Err:     err,
	}
}

// exchange is one request and its response on a conn.
type exchange struct {
	*conn
	req      *Outgoing
	patience time.Duration
	unwatch  func() bool

	sending chan struct{} // closed when the streamed body is sent; nil without one
	bodyErr error         // why the client's body could not be read; valid after sending
	sendErr error

	mu      sync.Mutex
	headers bool // the head has been read: no deadline any more
	over    bool
}

func (x *exchange) head() (*http.Response, error) {
	x.out.patience = x.patience
	next := awaiting
	if x.req.streams() {
		next = sending
	}
	if !x.req.enter(next) {
		return nil, errEnded
	}
	x.req.writeHead(x.bw)
	if !x.req.streams() {
		x.bw.Write(x.req.buffered)
	}
	if err := x.bw.Flush(); err != nil {
		return nil, fmt.Errorf("send to %s: %w", x.RemoteAddr(), err)
	}
	if res, err := x.offerBody(); res != nil || err != nil {
		return res, err
	}
	if x.sending == nil {
		if err := x.SetReadDeadline(time.Now().Add(x.patience)); err != nil {
			return nil, err
		}
	}
	res, err := x.readHead(http.StatusOK)
	if err != nil && x.sending != nil {
		x.Close()
		x.joinSender()
		if x.bodyErr != nil {
			return nil, fmt.Errorf("%w: %w", errClientBody, x.bodyErr)
		}
	}
	return res, err
}

// offerBody starts sending a body that was not sent with the head. If the
// client expects a 100, the endpoint is asked first, and its answer, if it is a
// final one, is returned.
func (x *exchange) offerBody() (*http.Response, error) {
	if !x.req.streams() {
		return nil, nil
	}
	if x.req.expects {
		if err := x.SetReadDeadline(time.Now().Add(continueWait)); err != nil {
			return nil, err
		}
		if _, err := x.br.Peek(1); err == nil {
			x.SetReadDeadline(time.Now().Add(x.patience))
			res, err := x.readHead(http.StatusContinue)
			if err != nil || res.StatusCode != http.StatusContinue {
				return res, err
			}
		} else if !errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, fmt.Errorf("read from %s: %w", x.RemoteAddr(), err)
		}
		x.SetReadDeadline(time.Time{})
	}
	x.sending = make(chan struct{})
	go x.sendBody()
	return nil, nil
}

func (x *exchange) sendBody() {
	defer close(x.sending)
	x.bodyErr, x.sendErr = x.req.writeBody(x.bw)
	if x.bodyErr != nil {
		x.Close() // wakes the reader of the response; a half body must not look like a whole one
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case x.headers:
	case errors.Is(x.sendErr, os.ErrDeadlineExceeded): // it had its time
		x.SetReadDeadline(time.Unix(1, 0))
	default:
		x.SetReadDeadline(time.Now().Add(x.patience))
	}
}

// readHead reads responses until one with a status of at least from, or a
// switch of protocols; informational ones before it are passed on.
func (x *exchange) readHead(from int) (*http.Response, error) {
	for range maxInformational {
		res, err := x.readResponse()
		if err != nil {
			return nil, err
		}
		switch status := res.StatusCode; {
		case status < 100:
			return nil, fmt.Errorf("%s answered with the status %03d, which does not exist", x.RemoteAddr(), status)
		case status == http.StatusSwitchingProtocols && x.req.upgrade == "":
			return nil, fmt.Errorf("%s switched protocols, which nobody asked for", x.RemoteAddr())
		case status >= http.StatusOK, status == http.StatusSwitchingProtocols, status == from:
			return res, nil
		}
		if res.StatusCode != http.StatusContinue && x.req.inform != nil {
			x.req.inform(res)
		}
	}
	return nil, fmt.Errorf("%s sent more than %d informational responses", x.RemoteAddr(), maxInformational)
}

func (x *exchange) readResponse() (*http.Response, error) {
	x.in.left = maxResponseHead
	res, err := http.ReadResponse(x.br, &x.req.stub)
	x.in.left = -1
	if err == nil {
		return res, nil
	}
	if errors.Is(err, io.ErrUnexpectedEOF) && !x.answered() {
		err = io.EOF
	}
	return nil, fmt.Errorf("read from %s: %w", x.RemoteAddr(), err)
}

// attach makes the response's body give the connection back.
func (x *exchange) attach(res *http.Response) *http.Response {
	x.mu.Lock()
	x.headers = true
	x.SetReadDeadline(time.Time{}) // a body may take its time
	x.mu.Unlock()
	if res.StatusCode == http.StatusSwitchingProtocols {
		x.SetWriteDeadline(time.Time{})
		res.Body = &upgraded{exchange: x, conn: x.Conn, reader: x.br}
		return res
	}
	res.Body = &responseBody{
		inner: res.Body, exchange: x, keep: !res.Close && res.ProtoAtLeast(1, 1),
		chunked: len(res.TransferEncoding) > 0,
	}
	return res
}

// senderGrace is what a sender gets to notice that it is done: an instance can
// have answered before the sender's last write returned.
const senderGrace = 100 * time.Millisecond

func (x *exchange) senderDone() bool {
	select {
	case <-x.sending:
		return true
	case <-time.After(senderGrace):
		return false
	}
}

// joinSender waits for the sender after the connection was closed; if it is
// stuck reading the client's body, that read is interrupted, which costs the
// client's connection.
func (x *exchange) joinSender() {
	if !x.senderDone() {
		x.req.interrupt()
		<-x.sending
	}
}

// abandon closes the connection and waits for what runs.
func (x *exchange) abandon() {
	x.over = true
	x.unwatch()
	x.Close()
	if x.sending != nil {
		x.joinSender()
	}
}

// finish ends an exchange whose response was read to its end.
func (x *exchange) finish(keep bool) {
	if x.over {
		return
	}
	if x.sending != nil {
		// Answered before the request was whole: its rest would be taken for the next.
		keep = keep && x.senderDone() && x.sendErr == nil && x.bodyErr == nil
	} else if x.req.streams() { // a final answer instead of 100: the body was never sent
		keep = false
	}
	if keep && x.out.dated { // without keep the sender may still be writing: out is its own
		x.out.dated = false
		keep = x.SetWriteDeadline(time.Time{}) == nil
	}
	if !keep || x.br.Buffered() > 0 || !x.unwatch() {
		x.abandon()
		return
	}
	x.over = true
	x.pool.put(x.conn)
}

// responseBody streams, and finishes the exchange at its end.
type responseBody struct {
	inner    io.ReadCloser
	exchange *exchange
	keep     bool
	chunked  bool
}

// quiet says whether the next Read may have to wait for the endpoint.
func (b *responseBody) quiet() bool {
	if b.inner == http.NoBody || b.exchange.over {
		return false
	}
	there, _ := b.exchange.br.Peek(b.exchange.br.Buffered())
	if b.chunked { // a chunk begins with a line of its own
		_, there, _ = bytes.Cut(there, []byte("\n"))
	}
	return len(there) == 0
}

func (b *responseBody) Read(p []byte) (int, error) {
	n, err := b.inner.Read(p)
	if err == io.EOF {
		b.exchange.finish(b.keep)
	}
	return n, err
}

func (b *responseBody) Close() error {
	if !b.exchange.over {
		b.exchange.abandon()
	}
	return nil
}

// upgraded is the body of a 101: the connection itself.
type upgraded struct {
	exchange *exchange
	conn     net.Conn
	reader   *bufio.Reader
}

func (u *upgraded) Read(p []byte) (int, error) { return u.reader.Read(p) }
func (u *upgraded) Close() error {
	u.exchange.abandon()
	return nil
}
