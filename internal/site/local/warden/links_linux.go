package warden

import (
	"net/netip"

	"godwit/internal/site/local/network"
)

// links connect the instances of an environment.
type links interface {
	Connect(pid int, address netip.Addr) error
	Disconnect(address netip.Addr) error
	Apply(network.Rules) error
	Close() error
}

// routed are the links of an isolated environment: the kernel's.
type routed struct{ router netip.Addr }

func newRouted(router netip.Addr) (routed, error) {
	return routed{router}, network.PrepareRouter(router)
}

func (r routed) Connect(pid int, a netip.Addr) error { return network.AddPort(pid, a, r.router) }
func (r routed) Disconnect(a netip.Addr) error       { return network.RemovePort(a) }
func (r routed) Apply(rules network.Rules) error     { return network.Apply(rules) }
func (r routed) Close() error                        { return nil }
