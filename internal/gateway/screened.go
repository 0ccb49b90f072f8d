package gateway

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// screened is a client's connection, of which net/http reads only what a framer
// lets pass. What it refuses, net/http reads as a request for a refusal, so that
// the answer comes in its turn.
type screened struct {
	net.Conn
	entrance *entrance
	frames   framer
	raw      bool      // upgraded: everything passes
	pending  []byte    // read, and not passed yet
	fit      int       // bytes of pending that may pass
	failed   error     // what follows them
	headBy   time.Time // when a head that has begun must be whole

	stopped atomic.Bool // nothing more is read
	lingers atomic.Bool // its end is to reach the client before it is closed
	closed  atomic.Bool
	written atomic.Int64
	before  int64 // written when the last head passed
}

var (
	errMalformed = errors.New("malformed")
	errUnwanted  = errors.New("the request is answered; the rest of its body is not wanted")
)

// refusal is the method of a request that stands for one that is refused. Whoever
// sends it himself gets what it says.
const refusal = "REFUSED"

func refusedHead(status int) []byte {
	return fmt.Appendf(nil, "%s /%d HTTP/1.1\r\nHost: -\r\nConnection: close\r\n\r\n", refusal, status)
}

// refusedStatus is the status that r is to be refused with; 0 for a request.
func refusedStatus(r *http.Request) int {
	if r.Method != refusal {
		return 0
	}
	status, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/"))
	if err != nil || status < 400 || status > 599 {
		return http.StatusBadRequest
	}
	return status
}

// Read gives net/http what may pass. A read of one byte is how net/http watches
// for a client that goes while its request is served: it gets no end of stream
// from a client that has only finished sending, and no deadline.
func (s *screened) Read(p []byte) (int, error) {
	watching := len(p) == 1 && !s.raw
	for {
		switch {
		case s.stopped.Load():
			return 0, errUnwanted
		case s.raw && len(s.pending) > 0:
			n := copy(p, s.pending)
			s.pending = s.pending[n:]
			return n, nil
		case s.raw:
			return s.Conn.Read(p)
		case s.fit > 0:
			return s.give(p), nil
		case s.frames.state == paused && watching:
			return 0, s.hungUp()
		case s.frames.state == paused:
			s.frames.resume()
			s.screen()
		case s.failed == io.EOF && watching: // of whatever comes behind the request that is served
			return 0, s.hungUp()
		case s.failed != nil:
			return 0, s.failed
		case len(s.pending) == 0 && !watching:
			if n, err := s.pass(p); n > 0 || err != nil {
				return n, err
			}
		default:
			if err := s.fill(p, watching); err != nil {
				return 0, err
			}
		}
	}
}

func (s *screened) give(p []byte) int {
	n := copy(p, s.pending[:s.fit])
	s.pending, s.fit = s.pending[n:], s.fit-n
	if len(s.pending) == 0 {
		s.pending = nil
	}
	return n
}

// pass reads straight into p, as long as all of it may pass.
func (s *screened) pass(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	if err != nil {
		return 0, s.met(err)
	}
	s.before = s.written.Load()
	passed, status := s.frames.feed(p[:n])
	if passed < n {
		s.pending = append([]byte(nil), p[passed:n]...)
	}
	if status != 0 {
		s.refuse(0, status)
	}
	if passed > 0 {
		s.headBy = time.Time{}
	}
	return passed, nil
}

// fill reads more behind what may not pass yet.
func (s *screened) fill(p []byte, watching bool) error {
	if s.frames.state == atHead && !watching {
		if s.headBy.IsZero() {
			s.headBy = time.Now().Add(s.entrance.headTime)
		}
		if err := s.Conn.SetReadDeadline(s.headBy); err != nil {
			return err
		}
	}
	had := len(s.pending)
	if watching && had == 0 { // most clients send nothing: no room is made for it
		n, err := s.Conn.Read(p)
		if err != nil {
			return s.met(err)
		}
		s.pending = append(s.pending, p[:n]...)
		s.screen()
		return nil
	}
	const more = 4 << 10
	s.pending = slices.Grow(s.pending, more)
	n, err := s.Conn.Read(s.pending[had : had+more])
	s.pending = s.pending[:had+n]
	if err != nil {
		return s.met(err)
	}
	s.screen()
	return nil
}

// met remembers an end of stream; a deadline comes and goes.
func (s *screened) met(err error) error {
	if err != io.EOF {
		return err
	}
	s.failed = io.EOF
	return nil
}

func (s *screened) screen() {
	s.before = s.written.Load()
	passed, status := s.frames.feed(s.pending)
	s.fit = passed
	if passed > 0 {
		s.headBy = time.Time{}
	}
	if status != 0 {
		s.refuse(passed, status)
	}
}

// refuse puts what stands for a refusal behind the bytes that may pass. In the
// midst of a body that is an error, which whoever reads it answers.
func (s *screened) refuse(passed, status int) {
	s.lingers.Store(true)
	s.pending, s.fit, s.failed = s.pending[:passed], passed, errMalformed
	if s.frames.state == atHead {
		s.pending = append(s.pending, refusedHead(status)...)
		s.fit, s.failed = len(s.pending), io.EOF
	}
}

// upgraded lets everything pass from now on.
func (s *screened) upgraded() { s.raw = true }

// stop: the request is answered, although not all of it was read. It must be
// called by whoever would read.
func (s *screened) stop() {
	s.lingers.Store(true)
	s.stopped.Store(true)
}

func (s *screened) Write(b []byte) (int, error) {
	n, err := s.Conn.Write(b)
	s.written.Add(int64(n))
	return n, err
}

// Close closes the connection; of one whose client still sends, so that the
// client gets to see the answer: a connection with unread bytes is reset.
func (s *screened) Close() error {
	if s.closed.Swap(true) {
		return net.ErrClosed
	}
	defer s.entrance.left(s.Conn)
	if s.lingers.Load() && !s.entrance.hurries.Load() && s.CloseWrite() == nil {
		s.Conn.SetReadDeadline(time.Now().Add(lingerTime))
		_, _ = io.CopyN(io.Discard, s.Conn, lingerBytes)
	}
	return s.Conn.Close()
}

// abort closes the connection at once and forgets what the client has not taken,
// which could be a lot.
func (s *screened) abort() {
	if s.closed.Swap(true) {
		return
	}
	defer s.entrance.left(s.Conn)
	if l, ok := s.Conn.(interface{ SetLinger(sec int) error }); ok {
		_ = l.SetLinger(0)
	}
	s.Conn.Close()
}

func (s *screened) CloseWrite() error {
	if half, ok := s.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// SyscallConn lets departure watch.
func (s *screened) SyscallConn() (syscall.RawConn, error) {
	if sc, ok := s.Conn.(syscall.Conn); ok {
		return sc.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

// hungUp returns when the client has gone, or with the deadline. A client that
// has finished sending has not gone: it waits for its answer. But one that goes
// in the midst of an answer may leave no other trace; so when the answer has
// begun and is silent for longer than silence, it is taken for gone.
func (s *screened) hungUp() error {
	if s.failed == nil { // it has not finished
		return s.waitHungUp()
	}
	before, over, done := s.before, make(chan struct{}), make(chan bool)
	go func() { done <- s.watchSilence(before, over) }()
	err := s.waitHungUp()
	close(over)
	if silent := <-done; silent {
		return io.EOF
	}
	return err
}

func (s *screened) waitHungUp() error {
	err := waitHungUp(s)
	switch {
	case err == nil:
		return io.EOF
	case errors.Is(err, os.ErrDeadlineExceeded):
		return os.ErrDeadlineExceeded
	}
	return err
}

// watchSilence is true, and ends the wait, when the answer has begun and is silent.
func (s *screened) watchSilence(before int64, over <-chan struct{}) bool {
	tick := time.NewTicker(s.entrance.silence)
	defer tick.Stop()
	for last := s.written.Load(); ; {
		select {
		case <-over:
			return false
		case <-tick.C:
		}
		now := s.written.Load()
		if now == last && now > before {
			s.Conn.SetReadDeadline(time.Unix(1, 0))
			return true
		}
		last = now
	}
}
