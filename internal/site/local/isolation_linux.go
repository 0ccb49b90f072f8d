package local

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"time"

	"godwit/internal/door"
	"godwit/internal/landscape"
	"godwit/internal/site"
	"godwit/internal/site/local/network"
	"godwit/internal/site/local/warden"
)

const (
	// probeTimeout bounds one probe inside; a denied one is answered at once.
	probeTimeout = 2 * time.Second
	// hostTimeout bounds one from the host, where silence is the rule.
	hostTimeout = 150 * time.Millisecond
	// undeclaredPort stands for all ports that nothing declares.
	undeclaredPort = 9
)

// outside are addresses that nobody has (documentation networks).
var outside = []string{"198.51.100.1:80", "203.0.113.1:443", "[2001:db8::1]:80"}

// party is an end of a pair: an instance, a database, the gateway.
type party struct {
	environment string
	node        landscape.Node
	id          string // of the warden's instance; "" is the router
	address     netip.Addr
	port        int // that it is reached at, if at all; the router has none
}

func (p party) String() string {
	if p.id == "" {
		return p.environment + "/gateway"
	}
	return p.environment + "/" + p.id
}

// pair is one question.
type pair struct {
	from     party
	name     string // of the other end
	to       netip.AddrPort
	network  string
	declared bool
	direct   bool // from the router itself, not through its door
}

// CheckIsolation sends real packets for every ordered pair of instances,
// databases, gateways, environments and the host, to the declared port and to
// another one, over TCP and UDP, and compares with what the landscape declares.
// Relays that are open count as declared. It also looks for links that nobody
// declared. Nothing that it sends can leave the machine: from the
// host it goes out on the loopback only.
func (s *Site) CheckIsolation(ctx context.Context, l *landscape.Landscape) (site.Isolation, error) {
	var found site.Isolation
	if s.plain {
		return found, fmt.Errorf("without isolation there is nothing to test: %w", site.ErrUnsupported)
	}
	records, err := s.records(l)
	if err != nil {
		return found, err
	}
	listener, reached, err := hostListener()
	if err != nil {
		return found, err
	}
	defer listener.Close()
	var all []party
	for _, r := range records {
		all = append(all, r.parties()...)
	}
	edges := landscape.Edges(l)
	for _, r := range records {
		pairs := r.pairs(all, edges)
		outsidePairs, err := r.hostPairs(listener.Addr().(*net.TCPAddr).Port)
		if err != nil {
			return found, err
		}
		if err := s.ask(ctx, r, append(pairs, outsidePairs...), &found); err != nil {
			return found, err
		}
		if err := s.unknownLinks(ctx, r, &found); err != nil {
			return found, err
		}
		if err := fromHost(ctx, r, &found); err != nil {
			return found, err
		}
	}
	if n := reached.Load(); n > 0 {
		found.Wrong++
		found.Details = append(found.Details, fmt.Sprintf("%d connections from environments reached the host", n))
	}
	return found, nil
}

func (s *Site) records(l *landscape.Landscape) ([]*record, error) {
	var all []*record
	for _, e := range l.Environments {
		r, err := s.load(e.Name)
		if errors.Is(err, site.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

// parties of an environment.
func (r *record) parties() []party {
	all := []party{{environment: r.Name, node: landscape.Gateway, address: r.Router}}
	for _, id := range slices.Sorted(maps.Keys(r.Instances)) {
		i := r.Instances[id]
		all = append(all, party{r.Name, landscape.Node{Kind: "service", Name: i.Service}, id, i.Address,
			r.Services[i.Service].Releases[i.Release].Port})
	}
	for _, name := range slices.Sorted(maps.Keys(r.Databases)) {
		all = append(all, party{r.Name, landscape.Node{Kind: "database", Name: name}, databaseID(name),
			r.Databases[name].Address, landscape.DatabasePort})
	}
	return all
}

// pairs from each party of this environment to everybody else, everywhere.
func (r *record) pairs(all []party, edges []landscape.Edge) []pair {
	var pairs []pair
	ask := func(from party, name string, to netip.AddrPort, declared bool) {
		pairs = append(pairs, pair{from: from, name: name, to: to, network: "tcp", declared: declared},
			pair{from: from, name: name, to: netip.AddrPortFrom(to.Addr(), undeclaredPort), network: "tcp"})
		if to.Addr() != from.address { // who asks itself sends nothing
			pairs = append(pairs, pair{from: from, name: name, to: to, network: "udp"})
		}
	}
	for _, from := range r.parties() {
		for _, to := range all {
			if to == from {
				continue
			}
			declared := to.environment == from.environment &&
				slices.ContainsFunc(edges, func(e landscape.Edge) bool { return e.From == from.node && e.To == to.node })
			if to.port != 0 {
				ask(from, to.String(), netip.AddrPortFrom(to.address, uint16(to.port)), declared)
			} else {
				ask(from, to.String(), netip.AddrPortFrom(to.address, warden.PlainPort), false)
			}
		}
		for name, v := range r.Services {
			node := landscape.Node{Kind: "service", Name: name}
			declared := from.node != landscape.Gateway && len(r.virtual(name).Endpoints) > 0 &&
				slices.ContainsFunc(edges, func(e landscape.Edge) bool { return e.From == from.node && e.To == node })
			ask(from, r.Name+"/"+landscape.ServiceHost(name), netip.AddrPortFrom(v.Virtual, uint16(v.Port)), declared)
		}
		for database, relay := range r.Relays {
			ask(from, r.Name+"/relay of "+database, netip.AddrPortFrom(r.Router, relay.Port),
				from.node == landscape.Node{Kind: "database", Name: database})
		}
	}
	return pairs
}

// hostPairs go to the host, where somebody really listens, and to the rest of
// the world.
func (r *record) hostPairs(port int) ([]pair, error) {
	targets := map[netip.AddrPort]string{}
	for _, address := range outside {
		targets[netip.MustParseAddrPort(address)] = "outside"
	}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	for _, a := range addresses {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil && !prefix.Addr().IsLinkLocalUnicast() {
			targets[netip.AddrPortFrom(prefix.Addr(), uint16(port))] = "host"
		}
	}
	var pairs []pair
	for _, from := range r.parties() {
		for to, name := range targets {
			pairs = append(pairs, pair{from: from, name: name, to: to, network: "tcp", direct: true},
				pair{from: from, name: name, to: to, network: "udp"})
		}
	}
	return pairs, nil
}

// ask sends the packets and counts.
func (s *Site) ask(ctx context.Context, r *record, pairs []pair, found *site.Isolation) error {
	probes := make([]warden.Probe, 0, len(pairs))
	var inside, gate []pair
	for _, p := range pairs {
		if p.from.node == landscape.Gateway && p.network == "tcp" && !p.direct {
			gate = append(gate, p) // the gateway's way is the door
			continue
		}
		inside = append(inside, p)
		probes = append(probes, warden.Probe{From: p.from.id, Network: p.network, To: p.to, Timeout: probeTimeout})
	}
	answers, err := s.client(r.Name).Probe(ctx, probes)
	if err != nil {
		return err
	}
	for i, a := range answers {
		if a.Error != "" {
			return fmt.Errorf("packet test from %s: %s", inside[i].from, a.Error)
		}
		count(found, inside[i], a.Outcome)
	}
	for _, p := range gate {
		outcome, err := s.askDoor(ctx, r, p)
		if err != nil {
			return err
		}
		count(found, p, outcome)
	}
	return nil
}

func (s *Site) askDoor(ctx context.Context, r *record, p pair) (network.Outcome, error) {
	conn, err := door.Dial(ctx, warden.DoorSocket(s.wardenDir(r.Name)), p.network, p.to.String())
	switch {
	case err == nil:
		return network.Open, conn.Close()
	case errors.Is(err, door.ErrRefused):
		return network.Unreachable, nil
	}
	return "", fmt.Errorf("packet test through the door of %s: %w", r.Name, err)
}

// count compares. The rules answer what they deny at once, so that silence proves
// nothing and is wrong either way. Being refused by an address of the loopback,
// which is one's own from inside, proves nothing about the host's.
func count(found *site.Isolation, p pair, outcome network.Outcome) {
	own := p.to.Addr().IsLoopback() && outcome == network.Refused
	came := !own && (outcome == network.Open || outcome == network.Refused)
	found.Pairs++
	switch {
	case came && p.declared:
		found.Allowed++
	case !p.declared && (own || outcome == network.Unreachable):
		found.Denied++
	default:
		found.Wrong++
		found.Details = append(found.Details, fmt.Sprintf("%s -> %s (%s %s): %s, declared: %v",
			p.from, p.name, p.network, p.to, outcome, p.declared))
	}
}

// unknownLinks looks for ways around the router: it has one link for each
// instance, and each instance has one. No packet is needed to know that another
// one leads somewhere else.
func (s *Site) unknownLinks(ctx context.Context, r *record, found *site.Isolation) error {
	all, err := s.client(r.Name).Links(ctx)
	if err != nil {
		return err
	}
	known := map[string]bool{"lo": true}
	for _, p := range r.parties() {
		known[network.PortName(p.address)] = p.id != ""
	}
	found.Pairs++
	var details []string
	for _, id := range slices.Sorted(maps.Keys(all)) {
		for _, link := range all[id] {
			if id == "" && !known[link] || id != "" && link != "lo" && link != network.InstanceLink {
				details = append(details, fmt.Sprintf("%s has a link %s that nobody declared", party{environment: r.Name, id: id}, link))
			}
		}
	}
	verdict(found, details)
	return nil
}

// verdict on one question, which is answered well when there is nothing to say.
func verdict(found *site.Isolation, details []string) {
	if len(details) == 0 {
		found.Denied++
		return
	}
	found.Wrong++
	found.Details = append(found.Details, details...)
}
