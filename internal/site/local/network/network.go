// Package network is the network of one environment: a router (the network
// namespace that the calling process lives in), a port for every instance, and
// the rules between them.
//
// There is no bridge, no link to the host and no route to anywhere else: an
// address outside the environment is unreachable because nothing leads there,
// and an address inside is denied unless an Edge declares it. A denied packet
// is answered at once (ICMP administratively prohibited), so that a mistake
// shows as an error and not as a hang; "refused" therefore always means that
// the way was open and nobody listened.
//
// Everything here works on the network namespace of the calling thread and
// needs CAP_NET_ADMIN over it. Only the warden and the instance shim of the
// local site may import it.
package network

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"
)

// Party is one end of edges: all instances of a service, a database, a relay.
type Party struct {
	From []netip.Addr     `json:"from,omitempty"` // what it calls from
	At   []netip.AddrPort `json:"at,omitempty"`   // where it is reached
}

// Edge is one opening, between parties by name: From may open TCP connections to
// where To is reached, and to no other port of it. A service's virtual address
// needs no edge of its own: it is translated before the rules are asked, so an
// edge to the service is what opens it. A caller may therefore also address an
// instance directly, on the same port and no other.
type Edge struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// Virtual is the stable address of a service. New connections go over its
// endpoints in turn; an endpoint that is listed twice gets twice as many.
type Virtual struct {
	Address   netip.AddrPort   `json:"address"`
	Endpoints []netip.AddrPort `json:"endpoints"`
}

// Rules are everything that is open in an environment. What they don't name is denied.
type Rules struct {
	Parties  map[string]Party `json:"parties"`
	Edges    []Edge           `json:"edges"`
	Virtuals []Virtual        `json:"virtuals"`
	Router   []netip.AddrPort `json:"router"`  // what the router itself may connect to: health checks, administration
	Gateway  []netip.AddrPort `json:"gateway"` // what the gateway may connect to, through the router
	Relays   []netip.AddrPort `json:"relays"`  // what relays may connect to, through the router, while they are open
}

// Only returns the rules with the endpoints of virtual addresses that keep wants.
func (r Rules) Only(keep func(netip.AddrPort) bool) Rules {
	out := r
	out.Virtuals = make([]Virtual, len(r.Virtuals))
	for i, v := range r.Virtuals {
		out.Virtuals[i] = Virtual{Address: v.Address}
		for _, e := range v.Endpoints {
			if keep(e) {
				out.Virtuals[i].Endpoints = append(out.Virtuals[i].Endpoints, e)
			}
		}
	}
	return out
}

// GatewayMayDial says whether the gateway may connect to an address.
func (r Rules) GatewayMayDial(to netip.AddrPort) bool { return slices.Contains(r.Gateway, to) }

// RouterMayDial says whether the router itself may connect to an address.
func (r Rules) RouterMayDial(to netip.AddrPort) bool { return slices.Contains(r.Router, to) }

// RelayMayDial says whether a relay may connect to an address.
func (r Rules) RelayMayDial(to netip.AddrPort) bool { return slices.Contains(r.Relays, to) }

// MayListen says whether anybody may connect to an address of the router.
func (r Rules) MayListen(at netip.AddrPort) bool {
	return slices.ContainsFunc(r.Edges, func(e Edge) bool { return slices.Contains(r.Parties[e.To].At, at) })
}

// maxSlots bounds the list that Spread makes, about; smaller shares are rounded up.
const maxSlots = 1000

// Spread lists endpoints so often that every group (a release) gets its weight
// as share of the list, evenly within the group and mixed as well as can be.
// Groups without endpoints or weight get nothing.
func Spread(groups [][]netip.AddrPort, weights []int) []netip.AddrPort {
	sizes := 1
	for i, g := range groups {
		if len(g) > 0 && weights[i] > 0 {
			sizes = lcm(sizes, len(g))
		}
	}
	var endpoints []netip.AddrPort
	var shares []int
	common, total := 0, 0
	for i, g := range groups {
		for _, e := range g {
			if weights[i] > 0 {
				share := weights[i] * sizes / len(g)
				endpoints, shares = append(endpoints, e), append(shares, share)
				common, total = gcd(common, share), total+share
			}
		}
	}
	if len(endpoints) == 0 {
		return nil
	}
	common = max(common, total/maxSlots)
	total = 0
	for i := range shares {
		shares[i] = max(1, shares[i]/common)
		total += shares[i]
	}
	return mix(endpoints, shares, total)
}

// mix lists each endpoint as often as its share, spread evenly: each turn
// everybody earns its share and the richest pays the whole for its turn.
func mix(endpoints []netip.AddrPort, shares []int, total int) []netip.AddrPort {
	slots := make([]netip.AddrPort, total)
	credit := make([]int, len(shares))
	for turn := range slots {
		richest := 0
		for i := range shares {
			credit[i] += shares[i]
			if credit[i] > credit[richest] {
				richest = i
			}
		}
		credit[richest] -= total
		slots[turn] = endpoints[richest]
	}
	return slots
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

func lcm(a, b int) int { return a / gcd(a, b) * b }

// Outcome of a probe.
type Outcome string

const (
	Open        Outcome = "open"        // somebody answered
	Refused     Outcome = "refused"     // the way is open, nobody listens
	Unreachable Outcome = "unreachable" // denied by the rules, or no way there
	Timeout     Outcome = "timeout"     // no answer at all
)

// Probe sends real packets to an address ("tcp": a connection; "udp": a
// datagram; "postgres": what a client of Postgres asks first) and says what came
// of it. It opens its socket in the network namespace of the calling thread.
func Probe(ctx context.Context, netw string, address netip.AddrPort, timeout time.Duration) Outcome {
	d := net.Dialer{Timeout: timeout}
	kind, question := netw, []byte("godwit probe\n")
	if netw == "postgres" {
		kind, question = "tcp", startup
	}
	conn, err := d.DialContext(ctx, kind, address.String())
	if err != nil {
		return outcome(err)
	}
	defer conn.Close()
	if conn.LocalAddr().String() == conn.RemoteAddr().String() {
		// The kernel gave it the port that it asks: it would answer itself.
		// While it is kept, another socket gets another port.
		return Probe(ctx, netw, address, timeout)
	}
	if netw == "tcp" {
		return Open
	}
	conn.SetDeadline(time.Now().Add(timeout))
	if _, err = conn.Write(question); err == nil {
		_, err = conn.Read(make([]byte, 64))
	}
	return outcome(err)
}

// startup is how a client begins to log in to a Postgres, which answers with a
// question or a refusal. That the client leaves then is written in no log, as it
// would be in the middle of a TLS handshake.
var startup = func() []byte {
	const version = "\x00\x03\x00\x00"
	said := version + "user\x00postgres\x00database\x00postgres\x00\x00"
	return append(binary.BigEndian.AppendUint32(nil, uint32(4+len(said))), said...)
}()

func outcome(err error) Outcome {
	var timeout net.Error
	switch {
	case err == nil:
		return Open
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.EOF):
		return Refused
	case errors.As(err, &timeout) && timeout.Timeout():
		return Timeout
	}
	return Unreachable
}
