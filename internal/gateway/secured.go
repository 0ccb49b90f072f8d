package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
)

// secured is a connection to an endpoint that speaks TLS.
type secured struct {
	*tls.Conn
	wire *wire
}

// secure makes the handshake on nc, until ctx ends; an error has closed nc.
func secure(ctx context.Context, nc net.Conn, cfg *tls.Config) (*secured, error) {
	w := &wire{Conn: nc}
	if sc, ok := nc.(syscall.Conn); ok {
		raw, err := sc.SyscallConn()
		if err != nil {
			nc.Close()
			return nil, fmt.Errorf("look at the connection: %w", err)
		}
		w.raw = raw
	}
	s := &secured{Conn: tls.Client(w, cfg), wire: w}
	if err := s.HandshakeContext(ctx); err != nil {
		nc.Close()
		return nil, err
	}
	return s, nil
}

// alive looks, without waiting, whether the endpoint has ended the connection or
// sent something nobody asked for. The look goes through TLS, because only there
// a ticket for the next handshake, which may come at any time and is taken
// along, differs from an end or an answer; either may also lie in TLS already,
// where the socket shows nothing of it. Half a record is no good sign: the rest
// would come as the answer to the next request.
func (s *secured) alive() bool {
	if s.wire.raw == nil {
		return true
	}
	s.wire.looking = true
	var b [1]byte
	n, err := s.Read(b[:])
	s.wire.looking = false
	return n == 0 && errors.Is(err, os.ErrDeadlineExceeded) && s.wire.records.whole()
}

// wire is the socket under TLS.
type wire struct {
	net.Conn
	raw     syscall.RawConn // nil: cannot be looked at
	looking bool            // give what is there, do not wait; for whom the connection belongs to
	records records
}

func (w *wire) Read(b []byte) (n int, err error) {
	if w.looking {
		n, err = w.look(b)
	} else {
		n, err = w.Conn.Read(b)
	}
	w.records.pass(b[:n])
	return n, err
}

// look reads what is there. Nothing is os.ErrDeadlineExceeded, after which TLS
// can go on, as after any read that ran out of time.
func (w *wire) look(b []byte) (int, error) {
	var n int
	var readErr error
	err := w.raw.Read(func(fd uintptr) bool {
		n, readErr = syscall.Read(int(fd), b)
		return true
	})
	switch {
	case err != nil:
		return 0, fmt.Errorf("look at the connection: %v", err) // whatever it is, not that nothing is there
	case errors.Is(readErr, syscall.EAGAIN), errors.Is(readErr, syscall.EINTR):
		return 0, os.ErrDeadlineExceeded
	case readErr != nil:
		return 0, os.NewSyscallError("read", readErr)
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// records follows where TLS records begin and end: five bytes of head, of which
// the last two are the length of the rest.
type records struct {
	head [5]byte
	have int // bytes of head
	left int // bytes of the rest that are still to come
}

func (r *records) pass(b []byte) {
	for len(b) > 0 {
		if r.left > 0 {
			n := min(r.left, len(b))
			r.left, b = r.left-n, b[n:]
			continue
		}
		n := copy(r.head[r.have:], b)
		r.have, b = r.have+n, b[n:]
		if r.have == len(r.head) {
			r.have, r.left = 0, int(r.head[3])<<8|int(r.head[4])
		}
	}
}

// whole: all that came are whole records.
func (r *records) whole() bool { return r.have == 0 && r.left == 0 }
