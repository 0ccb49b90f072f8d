package migratetest

import (
	"net"
	"net/url"
	"sync"
	"testing"
)

// Proxy is a way to a server that can be cut.
type Proxy struct {
	listener net.Listener
	target   string
	done     sync.WaitGroup

	mu    sync.Mutex
	cut   bool
	flows chan struct{} // closed while something passes
	conns map[net.Conn]bool
}

// StartProxy opens a way to the server at a URL; it closes with the test.
func StartProxy(t testing.TB, to string) *Proxy {
	t.Helper()
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{listener: l, target: u.Host, conns: map[net.Conn]bool{}, flows: make(chan struct{})}
	close(p.flows)
	p.done.Go(p.accept)
	t.Cleanup(func() {
		l.Close()
		p.Cut()
		p.Flow()
		p.done.Wait()
	})
	return p
}

// URL is a URL, led through the proxy.
func (p *Proxy) URL(of string) string {
	u, err := url.Parse(of)
	if err != nil {
		panic(err)
	}
	u.Host = p.listener.Addr().String()
	return u.String()
}

// Address of the proxy, host:port.
func (p *Proxy) Address() string { return p.listener.Addr().String() }

// Cut ends all connections and refuses new ones.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = true
	for conn := range p.conns {
		conn.Close()
	}
}

// Mend lets connections through again.
func (p *Proxy) Mend() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = false
}

// Stall lets nothing through any more, and tells nobody: connections stay open,
// and new ones are accepted.
func (p *Proxy) Stall() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.flows = make(chan struct{})
}

// Flow ends a Stall: what was sent meanwhile arrives.
func (p *Proxy) Flow() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.flows:
	default:
		close(p.flows)
	}
}

// copy carries one direction.
func (p *Proxy) copy(to, from net.Conn) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		p.mu.Lock()
		flows := p.flows
		p.mu.Unlock()
		<-flows
		if _, failed := to.Write(buffer[:n]); err != nil || failed != nil {
			return
		}
	}
}

func (p *Proxy) accept() {
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.done.Go(func() { p.carry(conn) })
	}
}

// keep remembers connections so that Cut ends them; false when the way is cut.
func (p *Proxy) keep(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range conns {
		p.conns[conn] = true
	}
	return !p.cut
}

func (p *Proxy) carry(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer server.Close()
	if !p.keep(client, server) {
		return
	}
	var there sync.WaitGroup
	there.Go(func() { p.copy(server, client); server.Close() })
	p.copy(client, server)
	client.Close()
	there.Wait()
}
