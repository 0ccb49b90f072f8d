package gateway

import (
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// departure notices that a client has gone while its request's body is still
// unread. net/http notices by itself once there is no body left to read; before
// that it does not look, and we must not read.
type departure struct {
	conn net.Conn // nil: net/http watches
}

// watch returns a channel that is closed when the client has gone, and a stop
// that must be called before anybody reads from the connection again.
func (d departure) watch() (<-chan struct{}, func()) {
	sc, ok := d.conn.(syscall.Conn)
	if !ok {
		return nil, func() {}
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil, func() {}
	}
	gone, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		// The runtime's poller reports edges: this wakes when bytes or a hang-up
		// arrive, not while bytes lie there unread.
		if raw.Read(hungUp) == nil {
			close(gone)
		}
	}()
	return gone, func() {
		d.conn.SetReadDeadline(time.Unix(1, 0))
		<-done
		d.conn.SetReadDeadline(time.Time{})
	}
}

// hungUp: both directions have ended, or the connection was reset. A client that
// has only finished sending waits for its answer.
func hungUp(fd uintptr) bool {
	p := []unix.PollFd{{Fd: int32(fd)}}
	n, err := unix.Poll(p, 0)
	return err == nil && n > 0 && p[0].Revents&(unix.POLLHUP|unix.POLLERR) != 0
}

// waitHungUp returns nil when the other side has gone, and an error with the
// deadline of reading.
func waitHungUp(c syscall.Conn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Read(hungUp)
}
