//go:build unix

package sockets

import (
	"container/list"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// Crowd bounds the connections of a server that have not said anything yet. Who
// comes when there is no room is served, and the one that has been silent for
// longest goes: nobody keeps others out by connecting.
type Crowd struct {
	room   int
	mu     sync.Mutex
	silent list.List // of io.Closer, the oldest first
}

// NewCrowd has room for so many that are silent.
func NewCrowd(room int) *Crowd { return &Crowd{room: room} }

// Enter lets a connection in. The caller calls spoke once it has said something,
// or has gone.
func (c *Crowd) Enter(conn io.Closer) (spoke func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.silent.Len() >= c.room {
		c.evict()
	}
	at := c.silent.PushBack(conn)
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.silent.Remove(at)
	}
}

// evict ends the oldest. c.mu is held.
func (c *Crowd) evict() {
	if oldest := c.silent.Front(); oldest != nil {
		c.silent.Remove(oldest).(io.Closer).Close()
	}
}

// size is how many are in it.
func (c *Crowd) size() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.silent.Len()
}

// breath is how long Failed waits after an accept that failed.
const breath = 20 * time.Millisecond

// Failed is told of an accept that failed, and reports whether the listener is
// closed. Otherwise descriptors ran out, most likely: the oldest that is silent
// gives one back, and there is another try.
func (c *Crowd) Failed(err error) (closed bool) {
	if errors.Is(err, net.ErrClosed) {
		return true
	}
	c.mu.Lock()
	c.evict()
	c.mu.Unlock()
	time.Sleep(breath)
	return false
}
