package gateway

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

const (
	// replayBody is the largest body that is kept to be sent again.
	replayBody = 1 << 20
	// inlineBody is the largest body that is read before the request is sent
	// even if it is never sent again: the instance does not wait for a slow
	// client, and no goroutine is needed.
	inlineBody = 64 << 10
)

// keyHeader names a request, so that an instance can tell one sent again from a new one.
const keyHeader = "Idempotency-Key"

// Outgoing is a request as it is sent to endpoints, once or again.
type Outgoing struct {
	in         *http.Request
	rc         *http.ResponseController
	stub       http.Request // what http.ReadResponse needs to know
	forwarded  forwarded
	upgrade    string
	replayable bool
	expects    bool // the client waits for a 100 before it sends its body

	length    int64 // of the body; -1: chunked
	buffered  []byte
	room      *room                // where buffered is kept
	kept      int64                // room it takes
	rest      io.Reader            // what follows buffered; nil: nothing
	consumed  bool                 // rest has been read from
	announced http.Header          // trailers that follow the body
	inform    func(*http.Response) // told of 1xx responses

	began       time.Time // came to us
	awaits      time.Time // since when it waits for an endpoint that can be reached; zero: it does not
	sends       int       // how often an endpoint may have seen some of it, and did not answer
	received    atomic.Int64
	flight      *flight     // while it is in flight; nil for whoever has no need of one
	eventStream bool        // it is answered with one
	whole       atomic.Bool // its body has come to its end
}

// safe: it can be taken back and sent again as long as the client has no answer,
// whatever an instance has seen of it.
func (o *Outgoing) safe() bool {
	switch o.in.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return o.rest == nil && !o.consumed
	}
	return false
}

// departure watches for a client that goes while its body is still unread.
func (o *Outgoing) departure() departure {
	if o.rest == nil {
		return departure{}
	}
	c, _ := o.in.Context().Value(connKey{}).(net.Conn)
	return departure{conn: c}
}

// enter notes how far the request has come; false: it is to be given up.
func (o *Outgoing) enter(s stage) bool { return o.flight == nil || o.flight.enter(s) }

// forwarded is what we tell instances of the client; what the client says of
// itself in these headers is dropped.
type forwarded struct{ client, host, proto string }

// newOutgoing reads nothing of the body yet; buffer must be called next, and
// free when the request is over.
func newOutgoing(r *http.Request, rc *http.ResponseController, pace pace, kept *room) *Outgoing {
	client, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		client = r.RemoteAddr
	}
	o := &Outgoing{
		in: r, rc: rc, stub: http.Request{Method: r.Method},
		forwarded:  forwarded{client: client, host: r.Host, proto: "http"},
		upgrade:    upgradeType(r),
		replayable: replayable(r),
		expects:    r.ProtoAtLeast(1, 1) && strings.EqualFold(r.Header.Get("Expect"), "100-continue"),
		length:     r.ContentLength, announced: r.Trailer, room: kept, began: time.Now(),
	}
	if o.upgrade != "" {
		o.replayable = false
	}
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		o.length, o.expects = 0, false
		o.whole.Store(true)
		return o
	}
	o.rest = &patientBody{body: r.Body, rc: rc, pacer: pace.pacer(), received: &o.received, whole: &o.whole}
	return o
}

// replayable: the method promises that twice is as good as once, or the client
// says so with a key, which the instance gets to see.
func replayable(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	return r.Header.Get(keyHeader) != "" && !connectionTokens(r.Header)[keyHeader]
}

// keep takes room for the body, as long as it says it is, or may be.
func (o *Outgoing) keep(limit int64) bool {
	n := limit
	if o.length > 0 {
		n = min(n, o.length)
	}
	if !o.room.enter(n) {
		return false
	}
	o.kept = n
	return true
}

// free gives the room back.
func (o *Outgoing) free() {
	o.room.leave(o.kept)
	o.kept = 0
}

// bufferLimit is how much of the body is read before an instance sees any of the
// request: that of a replayable one if it is small enough, and any small one of
// known length.
func (o *Outgoing) bufferLimit() int64 {
	switch {
	case o.rest == nil:
	case o.replayable && o.length <= replayBody:
		return replayBody
	case o.length > 0 && o.length <= inlineBody && !o.expects:
		return inlineBody
	}
	return 0
}

// buffer reads what is read before; other bodies stream, as do all for which
// there is no room: clients can announce more than there is memory. It returns an
// error only when the client's body cannot be read.
func (o *Outgoing) buffer() error {
	if o.rest == nil {
		return nil
	}
	limit := o.bufferLimit()
	if limit == 0 || !o.keep(limit) {
		o.replayable = false
		if o.length < 0 || o.length > inlineBody || !o.expects {
			o.fullDuplex()
		}
		return nil
	}
	var b bytes.Buffer
	if o.length > 0 {
		b.Grow(int(o.length) + bytes.MinRead)
	}
	n, err := b.ReadFrom(io.LimitReader(o.rest, limit+1))
	if err != nil {
		return err
	}
	o.buffered = b.Bytes()
	if n <= limit {
		o.rest, o.expects = nil, false
		if len(o.announced) == 0 {
			o.length = n
		}
		return nil
	}
	o.replayable, o.expects = false, false
	o.fullDuplex()
	return nil
}

// fullDuplex lets the response begin while the body still streams.
func (o *Outgoing) fullDuplex() { _ = o.rc.EnableFullDuplex() }

// Replayable: may be sent again even if an endpoint has seen it.
func (o *Outgoing) Replayable() bool { return o.replayable && o.Rewindable() }

// Rewindable: nothing of the body is lost yet.
func (o *Outgoing) Rewindable() bool { return !o.consumed }

// streams: a body follows that is not sent together with the head.
func (o *Outgoing) streams() bool {
	return o.rest != nil || len(o.buffered) > inlineBody || o.length < 0
}

// freshness is how long a connection may have been idle to be used for this
// request. One that cannot be sent again takes only a connection that its
// endpoint is unlikely to be closing just now.
func (o *Outgoing) freshness(usual time.Duration) time.Duration {
	if o.replayable {
		return usual
	}
	return min(usual, time.Second)
}

// interrupt ends a pending read of the client's body.
func (o *Outgoing) interrupt() {
	if o.rest != nil {
		_ = o.rc.SetReadDeadline(time.Unix(1, 0))
	}
}

// writeHead writes the request line and headers; errors stay in w.
func (o *Outgoing) writeHead(w *bufio.Writer) {
	w.WriteString(o.in.Method)
	w.WriteByte(' ')
	w.WriteString(target(o.in))
	w.WriteString(" HTTP/1.1\r\nHost: ")
	w.WriteString(o.in.Host)
	w.WriteString("\r\n")
	writeRequestHeader(w, o.in.Header)
	writeLine(w, "X-Forwarded-For", o.forwarded.client)
	writeLine(w, "X-Forwarded-Host", o.forwarded.host)
	writeLine(w, "X-Forwarded-Proto", o.forwarded.proto)
	if o.upgrade != "" {
		writeLine(w, "Connection", "Upgrade")
		writeLine(w, "Upgrade", o.upgrade)
	}
	if strings.EqualFold(o.in.Header.Get("Te"), "trailers") {
		writeLine(w, "TE", "trailers")
	}
	if o.expects {
		writeLine(w, "Expect", "100-continue")
	}
	o.writeFraming(w)
	w.WriteString("\r\n")
}

// writeFraming states the length as we understood it, never as the client wrote it.
func (o *Outgoing) writeFraming(w *bufio.Writer) {
	switch {
	case o.length < 0:
		writeLine(w, "Transfer-Encoding", "chunked")
		for name := range o.announced {
			writeLine(w, "Trailer", name)
		}
	case o.length > 0 || needsLength(o.in.Method):
		writeLine(w, "Content-Length", strconv.FormatInt(o.length, 10))
	}
}

func needsLength(method string) bool {
	return method == http.MethodPost || method == http.MethodPut || method == http.MethodPatch
}

// target is what the request line asks for, as an instance is to see it; "" if
// it is nothing an instance may see, or not asked in HTTP/1.
func target(r *http.Request) string {
	switch {
	case r.ProtoMajor != 1:
		return ""
	case strings.HasPrefix(r.RequestURI, "/"), r.RequestURI == "*" && r.Method == http.MethodOptions:
		return r.RequestURI
	case r.URL.Host != "" && r.URL.Opaque == "":
		return r.URL.RequestURI() // absolute form
	}
	return ""
}

// writeBody streams the body. It tells apart who failed: the client, whose body
// broke off, or the endpoint, which did not take it.
func (o *Outgoing) writeBody(w *bufio.Writer) (bodyErr, sendErr error) {
	write, end := writePlain(w), func() error { return w.Flush() }
	if o.length < 0 {
		write, end = writeChunk(w), func() error { return writeLastChunk(w, o.in.Trailer) }
	}
	if o.rest == nil && !o.enter(awaiting) {
		return errEnded, nil
	}
	if len(o.buffered) > 0 {
		if err := write(o.buffered); err != nil {
			return nil, err
		}
	}
	if o.rest == nil {
		return nil, end()
	}
	o.consumed = true
	return o.pour(write, end)
}

// pour streams the rest. Before the piece that makes the body whole for the
// instance goes out, the request counts as one that the instance has.
func (o *Outgoing) pour(write func([]byte) error, end func() error) (bodyErr, sendErr error) {
	left := o.length - int64(len(o.buffered))
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	for {
		n, err := o.rest.Read(*buf)
		if err != nil && err != io.EOF {
			return err, nil
		}
		left -= int64(n)
		if last := o.length < 0 && err == io.EOF || o.length >= 0 && left <= 0; last && !o.enter(awaiting) {
			return errEnded, nil
		}
		if n > 0 {
			if err := write((*buf)[:n]); err != nil {
				return nil, err
			}
		}
		if err == io.EOF {
			return nil, end()
		}
	}
}

func writePlain(w *bufio.Writer) func([]byte) error {
	return func(b []byte) error {
		if _, err := w.Write(b); err != nil {
			return err
		}
		return w.Flush()
	}
}

func writeChunk(w *bufio.Writer) func([]byte) error {
	return func(b []byte) error {
		w.WriteString(strconv.FormatInt(int64(len(b)), 16))
		w.WriteString("\r\n")
		w.Write(b)
		w.WriteString("\r\n")
		return w.Flush()
	}
}

func writeLastChunk(w *bufio.Writer, trailer http.Header) error {
	w.WriteString("0\r\n")
	writeRequestHeader(w, trailer)
	w.WriteString("\r\n")
	return w.Flush()
}

// pace is what a client must keep to: it may be silent for idle at a time, and
// has lead to lose by moving less than rate; by moving more it wins some back.
type pace struct {
	idle time.Duration
	lead time.Duration
	rate int64 // bytes per second
}

// pacer watches one client in one direction.
type pacer struct {
	pace
	credit time.Duration
}

func (p pace) pacer() pacer { return pacer{p, p.lead} }

// left is how long may be waited for the client now.
func (p *pacer) left() time.Duration { return max(0, min(p.idle, p.credit)) }

// moved notes that n bytes were waited for so long.
func (p *pacer) moved(n int, waited time.Duration) {
	p.credit = min(p.lead, p.credit-waited+time.Duration(n)*time.Second/time.Duration(p.rate))
}

// patientBody reads the client's body and gives up on a client that does not keep
// the pace.
type patientBody struct {
	body     io.Reader
	rc       *http.ResponseController
	pacer    pacer
	received *atomic.Int64
	whole    *atomic.Bool
}

var errClientBody = errors.New("read the client's body")

var errBodyIdle = errors.New("the client sends its body too slowly")

func (b *patientBody) Read(p []byte) (int, error) {
	began := time.Now()
	if err := b.rc.SetReadDeadline(began.Add(b.pacer.left())); err != nil {
		return 0, fmt.Errorf("read the client's body: %w", err)
	}
	n, err := b.body.Read(p)
	b.pacer.moved(n, time.Since(began))
	b.received.Add(int64(n))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return n, errBodyIdle
	}
	if err == io.EOF {
		b.whole.Store(true)
		// net/http watches for a departing client from here on; a deadline left
		// behind would look like one.
		if derr := b.rc.SetReadDeadline(time.Time{}); derr != nil {
			return n, derr
		}
	}
	return n, err
}
