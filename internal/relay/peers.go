package relay

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"
)

// peers are those who may come in from the host: from elsewhere the source's
// addresses; from this machine root, this process's own user, and the user who
// listens at the source's address. Others could keep the way back busy.
type peers struct {
	source string // host:port

	mu     sync.Mutex
	looked time.Time
	users  []int // who listen there
	from   []netip.Addr
}

// looksFor bounds how often the source is looked up, whoever knocks.
const looksFor = time.Second

func (p *peers) admit(conn net.Conn) error {
	from, to := addrPort(conn.RemoteAddr()), addrPort(conn.LocalAddr())
	users, addresses := p.known()
	if !from.Addr().IsLoopback() {
		if slices.Contains(addresses, from.Addr()) {
			return nil
		}
		return fmt.Errorf("from %s, which is no address of the source %s", from, p.source)
	}
	user, err := userOf(from, to)
	if err != nil {
		return fmt.Errorf("from %s: %w", from, err)
	}
	if user == 0 || user == os.Geteuid() || slices.Contains(users, user) {
		return nil
	}
	return fmt.Errorf("from user %d, who is not the one of the source at %s", user, p.source)
}

// known is who the source is now: it may be started again by another user.
func (p *peers) known() ([]int, []netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.looked) > looksFor {
		p.users, p.from = lookUp(p.source)
		p.looked = time.Now()
	}
	return p.users, p.from
}

func lookUp(source string) (users []int, from []netip.Addr) {
	host, portName, err := net.SplitHostPort(source)
	if err != nil {
		return nil, nil
	}
	port, err := strconv.ParseUint(portName, 10, 16)
	if err != nil {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
	defer cancel()
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, nil
	}
	own, _ := net.InterfaceAddrs()
	for _, a := range found {
		a = a.Unmap()
		from = append(from, a)
		isOwn := slices.ContainsFunc(own, func(o net.Addr) bool {
			prefix, err := netip.ParsePrefix(o.String())
			return err == nil && prefix.Addr() == a
		})
		if !isOwn && !a.IsLoopback() {
			continue
		}
		if user, err := listenerAt(netip.AddrPortFrom(a, uint16(port))); err == nil {
			users = append(users, user)
		}
	}
	return users, from
}

func addrPort(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	at := tcp.AddrPort()
	return netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
}
