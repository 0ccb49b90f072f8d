package chaos

import (
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
)

// link is the way between godwit and the data centre's database: a wire in user
// space that can be cut, or let nothing through while nobody is told.
type link struct {
	listener net.Listener
	target   string
	done     sync.WaitGroup

	mu    sync.Mutex
	wake  *sync.Cond
	holed bool // nothing comes through, connections stay
	cut   bool // connections end, new ones too
	ended bool
	conns map[net.Conn]bool
}

// openLink opens a wire to target whose near end belongs to the user of the
// source's server: a relay lets only the source in, and asks the kernel who that is.
func openLink(target string, uid int) (*link, error) {
	ln, err := listenAs(uid)
	if err != nil {
		return nil, err
	}
	l := &link{listener: ln, target: target, conns: map[net.Conn]bool{}}
	l.wake = sync.NewCond(&l.mu)
	l.done.Go(l.accept)
	return l, nil
}

// listenAs makes a socket that the kernel counts as another user's.
func listenAs(uid int) (net.Listener, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := syscall.Setfsuid(uid); err != nil {
		return nil, err
	}
	defer syscall.Setfsuid(os.Getuid())
	return net.Listen("tcp", "127.0.0.1:0")
}

func (l *link) address() string { return l.listener.Addr().String() }

// set changes what the wire lets through.
func (l *link) set(holed, cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.holed, l.cut = holed, cut
	if cut {
		for c := range l.conns {
			c.Close()
		}
	}
	l.wake.Broadcast()
}

func (l *link) close() {
	l.mu.Lock()
	l.ended = true
	l.mu.Unlock()
	l.listener.Close()
	l.set(false, true)
	l.done.Wait()
}

func (l *link) accept() {
	for {
		c, err := l.listener.Accept()
		if err != nil {
			return
		}
		l.done.Go(func() { l.carry(c) })
	}
}

// pass waits while the wire lets nothing through; false when it is cut.
func (l *link) pass() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.holed && !l.cut {
		l.wake.Wait()
	}
	return !l.cut
}

func (l *link) keep(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut || l.ended {
		return false
	}
	l.conns[c] = true
	return true
}

func (l *link) drop(c net.Conn) {
	c.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
}

func (l *link) carry(near net.Conn) {
	defer l.drop(near)
	if !l.keep(near) || !l.pass() {
		return
	}
	far, err := net.Dial("tcp", l.target)
	if err != nil {
		return
	}
	defer l.drop(far)
	if !l.keep(far) {
		return
	}
	var back sync.WaitGroup
	back.Go(func() { l.copy(near, far) })
	l.copy(far, near)
	back.Wait()
}

// copy ends both ways at once: a database's connection is never half open.
func (l *link) copy(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			if !l.pass() {
				return
			}
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err == io.EOF || err != nil {
			return
		}
	}
}
