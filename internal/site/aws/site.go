// Package aws is the site on AWS: environments that Terraform made, whose
// services live in Auto Scaling groups behind load balancers.
//
// Its nouns: a place is one colour's group of a service, with its target groups;
// a release is a version of the service's launch template whose user data is
// convention.UserData; weights are those of the listener rules that forward to
// both places. It finds all of them by the names and tags of package convention
// and keeps nothing beside AWS: who is killed is followed by another process
// that reads on from there. Every call repeats safely. The SDK's types stop in
// this package, in one small file per part of AWS.
//
// Whoever chooses a concrete site imports it; it imports only pure packages, the
// contract and convention.
package aws

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"godwit/internal/landscape"
	"godwit/internal/site"
	"godwit/internal/site/aws/convention"
)

// Provisioner makes and removes what rollouts find: networks, databases, load
// balancers, empty groups. In production it is Terraform. Both methods repeat
// safely.
type Provisioner interface {
	// Apply leaves alone what belongs to a service that l does not declare as
	// long as that holds a release; Site.Withdrawing names them.
	Apply(ctx context.Context, l *landscape.Landscape, environment string) error
	Remove(ctx context.Context, environment string) error
}

// Options of a site. Landscape and Region are needed by everything, Provisioner
// by Apply and Remove.
type Options struct {
	Landscape   *landscape.Landscape
	Region      string
	Provisioner Provisioner
	// Resolve finds the private address of an RDS endpoint; the system's resolver when nil.
	Resolve func(ctx context.Context, host string) (netip.Addr, error)
	// DatabaseCA is a file with RDS's certificate authorities. With it the engine
	// checks a database's certificate; without, its connections are only encrypted.
	DatabaseCA string
	Now        func() time.Time // time.Now when nil
	// Poll is the longest pause between two looks; 5 seconds when 0.
	Poll time.Duration
	// Patience is how long instances may take from their launch until they are
	// healthy; 10 minutes when 0.
	Patience time.Duration
}

// Site is the site on AWS. Its methods may be called from many goroutines; that
// only one rollout of a service runs is what a Ledger's lease is for.
type Site struct {
	clients Clients
	options Options

	mu        sync.Mutex
	landscape *landscape.Landscape // the last one applied, or that of the options
}

var (
	_ site.Site          = (*Site)(nil)
	_ site.Administrator = (*Site)(nil)
)

// New returns the site of a landscape.
func New(clients Clients, o Options) *Site {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Resolve == nil {
		o.Resolve = lookUp
	}
	if o.Poll == 0 {
		o.Poll = 5 * time.Second
	}
	if o.Patience == 0 {
		o.Patience = 10 * time.Minute
	}
	return &Site{clients: clients, options: o, landscape: o.Landscape}
}

// Abilities: an environment is a VPC. The way to a source is a VPN that Terraform
// makes; a relay is what can be said of it.
func (s *Site) Abilities() site.Abilities { return site.Abilities{Isolation: "vpc", Relay: true} }

func (s *Site) declared() *landscape.Landscape {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.landscape
}

func (s *Site) scope(environment string) convention.Scope {
	return convention.Scope{Landscape: s.declared().Name, Environment: environment}
}

// lookUp asks the system's resolver: from outside too, the name of a database's
// endpoint stands for its private address.
func lookUp(ctx context.Context, host string) (netip.Addr, error) {
	addresses, err := net.DefaultResolver.LookupNetIP(ctx, "ip4", host)
	if err != nil {
		return netip.Addr{}, err
	}
	if len(addresses) == 0 {
		return netip.Addr{}, fmt.Errorf("%s has no address", host)
	}
	return addresses[0].Unmap(), nil
}
