package landscape

import (
	"fmt"
	"net/netip"
	"slices"
)

// Gateways are few, and each is somebody's: what may say who a client is must
// not be a whole provider.
const (
	mostGateways = 16
	widest4      = 24
	widest6      = 48
)

// nobodys are the IPv4 networks in which nobody can be reached from elsewhere;
// notPublic are more that nobody has on the internet, besides the private ones.
var (
	nobodys = []netip.Prefix{
		netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("127.0.0.0/8"),
		netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("224.0.0.0/3"),
	}
	notPublic = []netip.Prefix{
		netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"), netip.MustParsePrefix("198.18.0.0/15"),
	}
)

var public6 = netip.MustParsePrefix("2000::/3") // all that is given away of IPv6

// fronted is an environment on AWS that says what stands before it.
type fronted struct {
	environment, attribute string
	at                     place
}

// gateways reads public addresses of gateways; a lone address is a network of one.
func (b *body) gateways() []netip.Prefix {
	e, at, given := b.expr("gateways")
	if !given {
		return nil
	}
	b.fronted = append(b.fronted, fronted{b.name, "gateways", at})
	if list, ok := asList(e); ok && len(list) == 0 {
		b.add(at, Error, "gateways of "+b.title+" names nobody",
			"remove it, or name the gateway's public address: gateways = "+b.shape.attrs["gateways"].example)
		return nil
	}
	texts := b.texts("gateways")
	if len(texts) > mostGateways {
		b.must(at, "gateways", fmt.Sprintf("a list of at most %d addresses", mostGateways))
		return nil
	}
	var all []netip.Prefix
	for _, s := range texts {
		p, ok := address(s)
		switch {
		case !ok:
			b.add(at, Error, fmt.Sprintf("%s in gateways of %s is neither an address nor a network in CIDR notation", quoted(s), b.title),
				`write the address as it is, "203.0.113.7", or a network without bits after its prefix, "203.0.113.0/30"`)
		case p.Addr().Is4() && p.Bits() < widest4, p.Addr().Is6() && p.Bits() < widest6:
			b.add(at, Error, fmt.Sprintf("%s in gateways of %s names a network, not a gateway: whoever is in it could say that he is any client", p, b.title),
				fmt.Sprintf("name the gateway's own address, or a network of its own: a /%d of IPv4 or a /%d of IPv6 at most", widest4, widest6))
		case !public(p.Addr()):
			b.add(at, Error, fmt.Sprintf("%s in gateways of %s is no public address: AWS would never see it", p, b.title),
				"name the address under which the gateway is seen on the internet")
		case slices.Contains(all, p):
			b.add(at, Error, fmt.Sprintf("gateways of %s have %s twice", b.title, p), "keep one of the two")
		default:
			all = append(all, p)
		}
	}
	return all
}

// address reads an address, or a network.
func address(s string) (netip.Prefix, bool) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		a, err := netip.ParseAddr(s)
		p = netip.PrefixFrom(a, a.BitLen())
		return p, err == nil && a.Zone() == "" && !a.Is4In6()
	}
	return p, p == p.Masked() && !p.Addr().Is4In6()
}

// public: the address can be somebody's on the internet.
func public(a netip.Addr) bool {
	if a.Is6() {
		return public6.Contains(a)
	}
	holds := func(n netip.Prefix) bool { return n.Contains(a) }
	return !a.IsPrivate() && !slices.ContainsFunc(nobodys, holds) && !slices.ContainsFunc(notPublic, holds)
}

// noDNS reads dns, which is true when it is not said.
func (b *body) noDNS() bool {
	_, at, given := b.expr("dns")
	if !given || b.boolean("dns") {
		return false
	}
	b.fronted = append(b.fronted, fronted{b.name, "dns", at})
	return true
}

// checkFronted reports environments on AWS whose clients an apply would turn
// there before their time, or whose shield would take all of them for one.
func (r *reader) checkFronted(a *AWS) {
	if len(r.landscape.Ingresses) == 0 {
		for _, f := range r.fronted {
			r.add(f.at, Warning, fmt.Sprintf("attribute %s of environment %s has no effect on AWS: there is no ingress", f.attribute, quoted(f.environment)), "remove it, or declare the ingress")
		}
		return
	}
	for _, m := range r.moves {
		if _, declared := r.declared[kindEnvironment][m.Environment]; !declared {
			continue
		}
		in := a.In(m.Environment)
		if !in.NoDNS {
			r.add(m.at, Warning, fmt.Sprintf("names of environment %s would be turned to AWS by godwit aws apply before the cutover of migration %s", quoted(m.Environment), quoted(m.Name)),
				fmt.Sprintf("add dns = false to environment %s of block aws; when the migration is finished, remove both", quoted(m.Environment)))
		}
		said := func(f fronted) bool { return f.environment == m.Environment && f.attribute == "gateways" }
		if !slices.ContainsFunc(r.fronted, said) { // wrong ones are found already
			r.add(m.at, Warning, fmt.Sprintf("after the cutover of migration %s all clients reach environment %s on AWS through one gateway, and its shield would count them as one client", quoted(m.Name), quoted(m.Environment)),
				fmt.Sprintf("add gateways with the public address of the data centre's gateway to environment %s of block aws", quoted(m.Environment)))
		}
	}
}
