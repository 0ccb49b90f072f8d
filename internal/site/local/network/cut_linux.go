package network

import (
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Flow is a connection as its two ends know it. Both know it under the same
// addresses, but when it was made to a virtual one.
type Flow struct {
	Client netip.AddrPort // of the one that opened it
	Asked  netip.AddrPort // that it opened it to
	Server netip.AddrPort // that it came to
}

// route is what was open by an edge.
type route struct {
	from []netip.Addr
	to   []netip.AddrPort
}

// removed are the ways that hold now and that rules do not have.
func (r *Router) removed(rules Rules) []route {
	var all []route
	for _, e := range r.rules.Edges {
		if !slices.Contains(rules.Edges, e) {
			all = append(all, route{r.rules.Parties[e.From].From, r.rules.Parties[e.To].At})
		}
	}
	return all
}

// cutter is the filter of the connections to forget; it keeps what it found.
type cutter struct {
	routes []route
	found  []Flow
}

// MatchConntrackFlow implements netlink.CustomConntrackFilter.
func (c *cutter) MatchConntrackFlow(flow *netlink.ConntrackFlow) bool {
	if flow.Forward.Protocol != unix.IPPROTO_TCP {
		return false
	}
	f := Flow{Client: addrPort(flow.Forward.SrcIP, flow.Forward.SrcPort),
		Asked: addrPort(flow.Forward.DstIP, flow.Forward.DstPort), Server: addrPort(flow.Reverse.SrcIP, flow.Reverse.SrcPort)}
	for _, r := range c.routes {
		if slices.Contains(r.from, f.Client.Addr()) && slices.Contains(r.to, f.Server) {
			c.found = append(c.found, f)
			return true
		}
	}
	return false
}

func addrPort(ip net.IP, port uint16) netip.AddrPort {
	a, _ := netip.AddrFromSlice(ip)
	return netip.AddrPortFrom(a.Unmap(), port)
}

// cut makes the router forget the connections that are open over routes.
func cut(routes []route) ([]Flow, error) {
	if len(routes) == 0 {
		return nil, nil
	}
	c := &cutter{routes: routes}
	if _, err := netlink.ConntrackDeleteFilters(netlink.ConntrackTable, unix.AF_INET, c); err != nil {
		return c.found, fmt.Errorf("forget the connections over %d edges that were removed: %w", len(routes), err)
	}
	return c.found, nil
}
