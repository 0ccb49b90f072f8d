package warden

import (
	"errors"
	"net/netip"
	"sync"

	"godwit/internal/site/local/network"
)

// links connect the instances of an environment.
type links interface {
	Connect(pid int, address netip.Addr) error
	// Open leads the way to what was connected, once it can be reached.
	Open(address netip.Addr) error
	Disconnect(address netip.Addr) error
	Apply(network.Rules) error
	Close() error
}

// routed are the links of an isolated environment: the kernel's.
type routed struct {
	address netip.Addr
	router  *network.Router

	mu   sync.Mutex
	pids map[netip.Addr]int // who is connected
}

func newRouted(address netip.Addr) (*routed, error) {
	router, err := network.NewRouter(address)
	return &routed{address: address, router: router, pids: map[netip.Addr]int{}}, err
}

func (r *routed) Connect(pid int, a netip.Addr) error {
	r.mu.Lock()
	r.pids[a] = pid
	r.mu.Unlock()
	return network.AddPort(pid, a)
}

func (r *routed) Open(a netip.Addr) error { return network.OpenPort(a, r.address) }

func (r *routed) Disconnect(a netip.Addr) error {
	r.mu.Lock()
	delete(r.pids, a)
	r.mu.Unlock()
	return network.RemovePort(a)
}

func (r *routed) Close() error { return nil }

// Apply ends what is open over edges that are removed, at both ends: one that
// only listens would never learn it.
func (r *routed) Apply(rules network.Rules) error {
	applied, err := r.router.Apply(rules)
	ends := map[netip.Addr][][2]netip.AddrPort{}
	for _, f := range applied.Cut {
		ends[f.Client.Addr()] = append(ends[f.Client.Addr()], [2]netip.AddrPort{f.Client, f.Asked})
		ends[f.Server.Addr()] = append(ends[f.Server.Addr()], [2]netip.AddrPort{f.Server, f.Client})
	}
	for address, sockets := range ends {
		err = errors.Join(err, r.at(address, func() error {
			var errs []error
			for _, s := range sockets {
				errs = append(errs, network.ResetSocket(s[0], s[1]))
			}
			return errors.Join(errs...)
		}))
	}
	return err
}

// at does something in the network of whoever has an address.
func (r *routed) at(a netip.Addr, do func() error) error {
	if a == r.address {
		return do()
	}
	r.mu.Lock()
	pid, connected := r.pids[a]
	r.mu.Unlock()
	if !connected {
		return nil
	}
	return network.Within(pid, do)
}
