// Package site is the contract of a place where environments run: the local
// site, AWS, and the reference site in memory. Rollouts and migrations know
// nothing else of a site. Suite sitetest is the contract as tests; every site
// passes it.
//
// It may be imported by rollout, migrate, engine and by the sites themselves;
// it imports only pure packages.
package site

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"

	"godwit/internal/fleet"
	"godwit/internal/landscape"
)

// What an error of a site means. Anything else is a failure that may pass:
// the caller may try again.
var (
	// ErrNotFound: the environment, service or release does not exist here.
	ErrNotFound = errors.New("not found")
	// ErrUnready: an instance ended, or did not become ready in time. Trying
	// again with the same release does not help.
	ErrUnready = errors.New("not ready")
	// ErrUnsupported: this site cannot do it; see Abilities.
	ErrUnsupported = errors.New("not supported by this site")
	// ErrInvalid: the request contradicts itself; nothing was done.
	ErrInvalid = errors.New("invalid request")
	// ErrDead: what the environment runs in has ended, and all of it with it;
	// see Reviver.
	ErrDead = errors.New("the environment has died")
	// ErrSilent: what the environment runs in is there and does not answer. It
	// is not known how the environment is; see Reviver.
	ErrSilent = errors.New("the environment's supervisor does not answer")
	// ErrGatewaySilent: the gateway hangs, or is being replaced. What an environment has
	// is known then, not its traffic.
	ErrGatewaySilent = errors.New("the gateway does not answer")
)

// Site runs environments. Every method is idempotent: called again after a
// crash with the same arguments it completes what was begun. Every method
// returns soon after its context ends.
type Site interface {
	// Abilities say what this site can do; nobody asks for its name.
	Abilities() Abilities

	// Apply makes an environment as the landscape declares it: its network,
	// its edges, its databases. It leaves instances alone. A database that is
	// no longer declared is left alone too, for its data, and reported by
	// Observe; it ends with its environment. A service that is no longer
	// declared goes on as it is until it is withdrawn; see Shift.
	Apply(ctx context.Context, l *landscape.Landscape, environment string) error

	// Observe reports an environment as it is now. ErrNotFound when it is not
	// there; ErrSilent when it does not answer.
	Observe(ctx context.Context, environment string) (Environment, error)

	// Launch brings the instances of a release up to release.Count and waits
	// until all are ready; they get no traffic yet. On error, ErrUnready
	// included, what was launched stays for Retire.
	Launch(ctx context.Context, release fleet.Release) error

	// Shift sets the share of new requests that each release gets, atomically:
	// from outside and from the other services of the environment. ErrInvalid
	// when a release above weight 0 has no ready instance or all weights are 0.
	//
	// A service that the landscape last applied no longer declares may have all
	// weights 0, or none: that withdraws it, nobody is sent to it any more. When
	// its last release is retired it is gone: Observe does not report it, and
	// other calls for it return ErrNotFound until it is applied again.
	Shift(ctx context.Context, environment, service string, weights fleet.Weights) error

	// Drain waits until a release, at weight 0, has no request in flight.
	// ErrInvalid when it still has weight.
	Drain(ctx context.Context, environment, service string, release int) error

	// Retire ends the instances of a release, gracefully first. No error when
	// there are none. ErrInvalid when it still has weight.
	Retire(ctx context.Context, environment, service string, release int) error

	// Remove ends an environment and all that is in it, databases included.
	// No error when it is not there.
	Remove(ctx context.Context, environment string) error
}

// Abilities of a site.
type Abilities struct {
	Isolation string // "namespaces", "vpc", "none"
	Relay     bool   // implements Relayer
}

// Environment is an environment as observed.
type Environment struct {
	Name      string        `json:"name"`
	Network   netip.Prefix  `json:"network"`
	Databases []Database    `json:"databases"`
	Fleets    []fleet.Fleet `json:"fleets"`
	// Edges are the ways that are open between services and databases, as the
	// landscape was last applied; nil where the site does not say.
	Edges []landscape.Edge `json:"-"`
	// Problem is why it could not be observed, or what the engine knows against
	// it; sites leave it "".
	Problem string `json:"problem,omitempty"`
}

// Database as observed.
type Database struct {
	Name    string         `json:"name"`
	Address netip.AddrPort `json:"address"` // inside the environment
	Ready   bool           `json:"ready"`
	Reason  string         `json:"reason,omitempty"`
}

// Reviver is implemented by sites whose environments can die as a whole. One
// loop for each environment, whoever else works on it, takes its pulse several
// times a second, brings it back when it is dead, and replaces it when it has
// been silent for some looks.
type Reviver interface {
	// Pulse looks whether what the environment runs in lives, and nothing else:
	// nil, ErrDead, ErrSilent, or ErrNotFound when it was never applied, or is
	// being removed. It answers within PulseLimit, and waits for nobody who
	// changes the environment.
	Pulse(ctx context.Context, environment string) error
	// Revive brings back an environment as it was last applied, with every
	// instance that was launched and not retired, and returns when its databases
	// are ready. What is silent is ended first; what lives is left as it is. A
	// change of the same environment that is under way ends before, or fails for
	// the death. ErrNotFound as for Pulse.
	Revive(ctx context.Context, environment string) error
}

// PulseLimit bounds a pulse: what has not answered by then is silent.
const PulseLimit = 2 * time.Second

// DatabaseAccess is how the engine itself reaches a database of an environment
// as its administrator.
type DatabaseAccess struct {
	URL   string // postgres://admin:…@address:5432/name; the address means something only to Dial
	Owner string // the role that owns the application's objects
	Dial  func(ctx context.Context, network, address string) (net.Conn, error)
}

// Administrator is implemented by sites whose databases the engine can reach.
type Administrator interface {
	Database(ctx context.Context, environment, database string) (DatabaseAccess, error)
}

// Configurer is implemented by sites that run the servers of their databases.
type Configurer interface {
	// Configure gives a database's server settings, by their names in Postgres, and
	// starts it again where one needs that. Those that it has already change nothing.
	// It returns when they hold.
	Configure(ctx context.Context, environment, database string, settings map[string]string) error
}

// Relay is the opening in the isolation that a migration needs: what a VPN is on AWS.
type Relay struct {
	Source string // host:port at which the environment's database finds the source's
	Target string // host:port at which the source's database finds the environment's
}

// Relayer is implemented by sites that open relays.
type Relayer interface {
	// OpenRelay opens the way between one database of an environment and the
	// source's database at sourceAddress (host:port), both ways, for nobody
	// else. It survives the engine. Opening it again returns the same.
	OpenRelay(ctx context.Context, environment, database, sourceAddress string) (Relay, error)
	// CloseRelay closes it. No error when it is not open.
	CloseRelay(ctx context.Context, environment, database string) error
}

// RelayState is how a relay is, asked with real bytes through it.
type RelayState struct {
	Relay
	// ToSource and ToTarget are why the environment's database does not get an
	// answer of the source's, and the source's side none of the environment's;
	// nil when they do.
	ToSource, ToTarget error
}

// RelayKeeper is implemented by sites whose relays are processes of theirs.
type RelayKeeper interface {
	// RelayState asks one relay, and changes nothing. ErrNotFound when none is open.
	RelayState(ctx context.Context, environment, database string) (RelayState, error)
	// KeepRelays brings back what relays of an environment were opened and do not
	// relay any more. One that could not have its port back has another, so that
	// its other end has to be told: tell is called until it has once succeeded.
	KeepRelays(ctx context.Context, environment string, tell func(context.Context) error) error
}

// Front is where an environment's service is reached from outside.
type Front struct {
	Address string // host:port; the host is looked up with every connection, its addresses change
	TLS     string // the name that its certificate is for; "" speaks plain HTTP
}

// Fronted is implemented by sites whose services stand behind load balancers of
// the site's own. Their environments and releases are made without the engine:
// it only turns traffic and databases towards them.
type Fronted interface {
	// Front is where requests for a service that has an ingress go. ErrNotFound
	// when the environment or its load balancer is not there, or the service has
	// no ingress.
	Front(ctx context.Context, environment, service string) (Front, error)
	// Account is whose everything on the site is, with the credentials that are
	// used now: the same names may be there in another's.
	Account(ctx context.Context) (string, error)
}

// Isolation is the outcome of sending real packets over every ordered pair of
// instances, databases, environments and the host.
type Isolation struct {
	Pairs   int
	Allowed int      // came through, as declared
	Denied  int      // did not, as declared
	Wrong   int      // the other way round
	Details []string // what was wrong
}
