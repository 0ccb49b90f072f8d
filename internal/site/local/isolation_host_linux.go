package local

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sync/errgroup"

	"godwit/internal/site"
	"godwit/internal/site/local/network"
)

// hostListener really listens, on all of the host's addresses, and counts who comes.
func hostListener() (net.Listener, *atomic.Int64, error) {
	ln, err := net.Listen("tcp", ":0")
	if err != nil {
		return nil, nil, err
	}
	reached := new(atomic.Int64)
	go func() { // ends when the listener is closed
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			reached.Add(1)
			conn.Close()
		}
	}()
	return ln, reached, nil
}

// fromHost tries to get from the host into an environment, and looks whether
// the host has anything of its network.
func fromHost(ctx context.Context, r *record, found *site.Isolation) error {
	if err := hostHasNothing(r, found); err != nil {
		return err
	}
	dialer := net.Dialer{Timeout: hostTimeout, Control: loopbackOnly}
	host := party{environment: "host", id: "host"}
	pairs, outcomes := []pair{}, []network.Outcome{}
	for _, to := range r.parties() {
		for _, port := range []int{to.port, undeclaredPort} {
			if port != 0 {
				pairs = append(pairs, pair{from: host, name: to.String(), to: netip.AddrPortFrom(to.address, uint16(port)), network: "tcp"})
			}
		}
	}
	outcomes = make([]network.Outcome, len(pairs))
	var group errgroup.Group
	group.SetLimit(32)
	for i, p := range pairs {
		group.Go(func() error {
			outcomes[i] = network.Unreachable
			if conn, err := dialer.DialContext(ctx, "tcp", p.to.String()); err == nil {
				outcomes[i] = network.Open
				conn.Close()
			}
			return nil
		})
	}
	_ = group.Wait()
	for i, p := range pairs {
		count(found, p, outcomes[i])
	}
	return ctx.Err()
}

// loopbackOnly keeps a socket's packets on the loopback, whatever the routes say.
func loopbackOnly(_, _ string, raw syscall.RawConn) error {
	var bound error
	if err := raw.Control(func(fd uintptr) { bound = syscall.BindToDevice(int(fd), "lo") }); err != nil {
		return err
	}
	return bound
}

// hostHasNothing: no link, address or route of the host's may belong to the
// environment; with none, no packet of the host's can get there.
func hostHasNothing(r *record, found *site.Isolation) error {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return err
	}
	routes, err := netlink.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		return fmt.Errorf("routes of the host: %w", err)
	}
	var details []string
	for _, a := range addresses {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil && r.Network.Contains(prefix.Addr()) {
			details = append(details, fmt.Sprintf("the host has address %s in the network of %s", a, r.Name))
		}
	}
	for _, route := range routes {
		if route.Dst == nil {
			continue
		}
		if to, ok := netip.AddrFromSlice(route.Dst.IP.To4()); ok && r.Network.Contains(to) && !to.IsUnspecified() {
			details = append(details, fmt.Sprintf("the host has a route to %s in the network of %s", route.Dst, r.Name))
		}
	}
	found.Pairs++
	verdict(found, details)
	return nil
}
