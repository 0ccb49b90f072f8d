package landscape

import (
	"fmt"
	"net/netip"
	"slices"
)

// vpn reads the way to the data centre.
func (b *body) vpn() *VPN {
	v := &VPN{Network: b.cidr("network")}
	s, at := b.text("gateway", "")
	if s == "" {
		return v
	}
	var err error
	switch v.Gateway, err = netip.ParseAddr(s); {
	case err != nil || !v.Gateway.Is4():
		b.must(at, "gateway", "a public IPv4 address")
	case !public(v.Gateway):
		b.add(at, Error, fmt.Sprintf("gateway %s of %s is no public address: AWS would never reach it", v.Gateway, b.title),
			"name the address under which the data centre's end of the vpn is seen on the internet")
	case v.Network.IsValid() && v.Network.Contains(v.Gateway):
		_, at, _ := b.expr("network")
		b.add(at, Error, fmt.Sprintf("network %s of %s holds the gateway %s itself: what lies behind the gateway cannot hold it", v.Network, b.title, v.Gateway),
			"name the network that the source's databases are in, without the gateway")
	}
	return v
}

// cidr reads a network anywhere; the zero prefix stands for a bad one.
func (b *body) cidr(name string) netip.Prefix {
	s, at := b.text(name, "")
	if s == "" {
		return netip.Prefix{}
	}
	p, _ := b.network4(at, name, s, "an IPv4 network in CIDR notation, not wider than a /8")
	return p
}

// network4 reads a network that is somebody's: not everybody's, nor nobody's.
// What it must be is for the message.
func (b *body) network4(at place, name, s, must string) (netip.Prefix, bool) {
	p, err := netip.ParsePrefix(s)
	if err != nil || !p.Addr().Is4() || p != p.Masked() || p.Bits() < 8 {
		b.must(at, name, must)
		return netip.Prefix{}, false
	}
	if i := slices.IndexFunc(nobodys, p.Overlaps); i >= 0 {
		b.add(at, Error, fmt.Sprintf("%s in %s of %s overlaps %s, in which nobody can be reached from elsewhere", p, name, b.title, nobodys[i]),
			fmt.Sprintf("name a network that computers have addresses in: write for instance %s = %s", name, b.shape.attrs[name].example))
		return netip.Prefix{}, false
	}
	return p, true
}

// checkOutside reports networks outside that are not: they would open the
// environment to itself.
func (r *reader) checkOutside(a *AWS) {
	for _, e := range r.environs {
		if !e.Network.IsValid() {
			continue
		}
		if v := a.In(e.Name).VPN; v != nil && v.Network.IsValid() && v.Network.Overlaps(e.Network) {
			r.add(r.outside[Ref{kindEnvironment, e.Name}], Error, fmt.Sprintf("network %s at the other end of the vpn overlaps %s of environment %s", v.Network, e.Network, quoted(e.Name)),
				"name the network of the data centre, and give the environment another")
		}
		for _, s := range a.Services {
			for _, n := range s.Egress {
				if n.Overlaps(e.Network) {
					r.add(r.outside[Ref{kindService, s.Name}], Error, fmt.Sprintf("egress %s of service %s overlaps the network of environment %s", n, quoted(s.Name), quoted(e.Name)),
						"name networks outside only; what is inside is reached by needs")
				}
			}
		}
	}
}

// checkEgress reports services whose way out is closed in every environment.
func (r *reader) checkEgress(a *AWS) {
	for _, e := range r.landscape.Environments {
		if a.In(e.Name).NAT != NATNone {
			return
		}
	}
	for _, s := range a.Services {
		if len(s.Egress) > 0 {
			r.add(r.outside[Ref{kindService, s.Name}], Error, fmt.Sprintf("service %s has an egress, and no environment has a NAT", quoted(s.Name)),
				`add nat = "single" or "zone", or remove egress`)
		}
	}
}
