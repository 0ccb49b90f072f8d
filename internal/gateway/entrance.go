package gateway

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// entrance lets clients in, as many as there are descriptors for: each may cost
// one more, to an instance, and some are kept for the control side, which must be
// heard whatever clients do.
type entrance struct {
	net.Listener
	maxHead  int
	headTime time.Duration
	silence  time.Duration // of an answer whose client has finished sending
	most     int
	mostEach int // of one address
	hurries  atomic.Bool

	mu      sync.Mutex
	inside  int
	by      map[netip.Addr]int
	refused atomic.Int64
}

const (
	// reserve is how many descriptors are kept for the control side, the table's
	// file, the listeners and what the runtime needs.
	reserve = 64
	// silence: see screened.hungUp.
	silence = 10 * time.Second
)

// fileLimit is how many descriptors this process may have.
func fileLimit() int {
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) != nil || l.Cur > 1<<20 {
		return 1 << 20
	}
	return int(l.Cur)
}

// mostConnections is how many clients fit: half of what is not kept, because each
// may need a connection to an instance.
func mostConnections() int {
	n := fileLimit()
	return max(1, (n-min(reserve, n/2))/2)
}

func newEntrance(ln net.Listener, cfg Config) *entrance {
	return &entrance{
		Listener: ln, maxHead: cfg.MaxHeader, headTime: cfg.ReadHeaderTimeout, silence: cfg.Silence,
		most: cfg.MaxConnections, mostEach: cfg.MaxPerAddress, by: map[netip.Addr]int{},
	}
}

// Accept returns the next client that is let in.
func (e *entrance) Accept() (net.Conn, error) {
	for {
		c, err := e.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if e.enter(c) {
			return &screened{Conn: c, entrance: e, frames: framer{maxHead: e.maxHead}, headBy: time.Now().Add(e.headTime)}, nil
		}
		e.turnAway(c)
	}
}

func (e *entrance) enter(c net.Conn) bool {
	from := household(c)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.inside >= e.most || e.by[from] >= e.mostEach {
		return false
	}
	e.inside++
	e.by[from]++
	return true
}

func (e *entrance) left(c net.Conn) {
	from := household(c)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.inside--
	if e.by[from]--; e.by[from] == 0 {
		delete(e.by, from)
	}
}

// household is whose address a client has: of IPv6, a network of 64 bits is one's.
func household(c net.Conn) netip.Addr {
	at, err := netip.ParseAddrPort(c.RemoteAddr().String())
	if err != nil {
		return netip.Addr{}
	}
	a := at.Addr().Unmap().WithZone("")
	if a.Is4() {
		return a
	}
	p, err := a.Prefix(64)
	if err != nil {
		return a
	}
	return p.Addr()
}

var full = []byte("HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\nRetry-After: 1\r\nContent-Length: 33\r\nConnection: close\r\n\r\ntoo many connections; come again\n")

// turnAway does not wait for the client: a socket that is new takes this much.
func (e *entrance) turnAway(c net.Conn) {
	e.refused.Add(1)
	_ = c.SetDeadline(time.Now().Add(time.Millisecond))
	_, _ = c.Write(full)
	c.Close()
}
