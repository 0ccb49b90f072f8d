package relay

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// join copies both ways between an accepted connection and a dialled one, until
// both directions have ended, one has failed, or ctx ends.
func (r *Relay) join(ctx context.Context, accepted net.Conn, dial dialFunc) {
	defer accepted.Close()
	dialCtx, cancel := context.WithTimeout(ctx, dialTimeout)
	dialled, err := dial(dialCtx)
	cancel()
	if err != nil {
		r.log.Warn("the other side cannot be reached", "from", accepted.RemoteAddr(), "error", err)
		return
	}
	defer dialled.Close()
	keepAlives(accepted, dialled)
	stop := context.AfterFunc(ctx, func() {
		accepted.Close()
		dialled.Close()
	})
	defer stop()
	var back sync.WaitGroup
	back.Go(func() { pour(accepted, dialled) })
	if err := begin(dialled, accepted); err != nil {
		r.log.Warn("who connected says nothing", "from", accepted.RemoteAddr(), "error", err)
		accepted.Close()
		dialled.Close()
	}
	pour(dialled, accepted)
	back.Wait()
}

// begin passes the first bytes on, which have to come soon: a Postgres client
// speaks first.
func begin(to, from net.Conn) error {
	if err := from.SetReadDeadline(time.Now().Add(firstByte)); err != nil {
		return err
	}
	first := make([]byte, 4<<10)
	n, err := from.Read(first)
	if err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		return nil // its end, which pour passes on
	}
	if err := from.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	_, err = to.Write(first[:n])
	return err
}

// pour copies one direction and passes its end on; a failure ends both. Both
// ends are plain sockets, so that the kernel can splice.
func pour(to, from net.Conn) {
	_, err := io.Copy(to, from)
	half, ok := to.(interface{ CloseWrite() error })
	if err != nil || !ok || half.CloseWrite() != nil {
		to.Close()
		from.Close()
	}
}

// keepAlives finds dead peers: a replication connection can be silent for long.
func keepAlives(conns ...net.Conn) {
	for _, c := range conns {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: keepAlive, Interval: keepAlive / 3, Count: 4})
		}
	}
}
