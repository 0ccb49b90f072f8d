package warden

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"godwit/internal/site/local/network"
)

// doorPolicy opens sockets in the environment for whoever may open the door,
// as far as the rules go: one door is the gateway's, one the relays', one the
// engine's.
type doorPolicy struct {
	w       *warden
	dials   func(network.Rules, netip.AddrPort) bool
	listens bool
	ready   bool // it leads only to what can take requests
}

func (p doorPolicy) rules() network.Rules {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	return p.w.rules
}

// Dial connects to an address that the rules open.
func (p doorPolicy) Dial(ctx context.Context, netw, address string) (net.Conn, error) {
	to, err := netip.ParseAddrPort(address)
	if err != nil || netw != "tcp" {
		return nil, fmt.Errorf("dial %s %s: only tcp to an IP address and port", netw, address)
	}
	if !p.dials(p.rules(), to) {
		return nil, fmt.Errorf("dial %s: not open in environment %s", to, p.w.Environment)
	}
	if why := p.w.admits(to.Addr()); p.ready && why != "" {
		return nil, fmt.Errorf("dial %s: %s", to, why)
	}
	return new(net.Dialer).DialContext(ctx, netw, to.String())
}

// admits says whether an instance may be sent requests; "" or why not. What has just
// been started would answer that it cannot yet, and a gateway rather waits.
func (w *warden) admits(a netip.Addr) (why string) {
	byAddress := map[netip.Addr]*keeper{}
	for _, k := range w.all() {
		byAddress[k.Spec.Address] = k
	}
	k := byAddress[a]
	if k == nil {
		return ""
	}
	for _, needed := range k.After {
		if n := byAddress[needed]; n != nil && !n.everServed() {
			return fmt.Sprintf("%s needs %s, which is not ready yet", k.Spec.ID, n.Spec.ID)
		}
	}
	return k.admits()
}

// Listen listens at an address of the router to which the rules let somebody connect.
func (p doorPolicy) Listen(ctx context.Context, address string) (net.Listener, error) {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, fmt.Errorf("listen %s: only at an IP address and port", address)
	}
	if !p.listens || at.Addr() != p.w.Router || !p.rules().MayListen(at) {
		return nil, fmt.Errorf("listen %s: no opening declared in environment %s", at, p.w.Environment)
	}
	return new(net.ListenConfig).Listen(ctx, "tcp", at.String())
}
