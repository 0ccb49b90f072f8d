// Package memory is the reference site: it keeps environments in memory, passes
// the suite sitetest, and lets tests of rollout, migrate and engine inject what
// goes wrong: releases that never get ready, calls that fail or take long,
// instances that die, traffic that looks bad. Only tests import it.
package memory

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"godwit/internal/fleet"
	"godwit/internal/landscape"
	"godwit/internal/site"
)

// Site is a site in memory. Its methods may be called from many goroutines.
type Site struct {
	mu           sync.Mutex
	environments map[string]*environment
	launched     int           // instances ever, for their ids and addresses
	moved        chan struct{} // closed and replaced whenever a request ends or an environment changes
	faults       faults
}

type environment struct {
	name      string
	network   netip.Prefix
	databases []string
	services  map[string]*service
	life      life
}

type service struct {
	declared bool // by the landscape last applied
	releases map[int]*release
	weights  fleet.Weights
	credit   map[int]int // of the smooth weighted choice
}

type release struct {
	fleet.Release
	instances []fleet.Instance
	traffic   fleet.Traffic
	inFlight  int
}

var _ site.Site = (*Site)(nil)

// New returns a site without environments.
func New() *Site {
	return &Site{environments: map[string]*environment{}, moved: make(chan struct{}), faults: faults{unready: map[string]bool{}}}
}

// Abilities of the reference site: it isolates nothing and opens no relay.
func (s *Site) Abilities() site.Abilities { return site.Abilities{Isolation: "none"} }

// Apply implements site.Site.
func (s *Site) Apply(ctx context.Context, l *landscape.Landscape, name string) error {
	unlock, err := s.enter(ctx, Call{Method: "Apply", Environment: name})
	if err != nil {
		return err
	}
	defer unlock()
	i := slices.IndexFunc(l.Environments, func(e landscape.Environment) bool { return e.Name == name })
	if i < 0 {
		return fmt.Errorf("environment %q in landscape %q: %w", name, l.Name, site.ErrNotFound)
	}
	e := s.environments[name]
	if e == nil {
		e = &environment{name: name, services: map[string]*service{}}
		s.environments[name] = e
	}
	e.network = l.Environments[i].Network
	for _, d := range l.Databases {
		if !slices.Contains(e.databases, d.Name) {
			e.databases = append(e.databases, d.Name)
		}
	}
	e.declare(l.Services)
	s.revive(e)
	s.changed(e)
	return nil
}

// declare makes the services that are new, and forgets those that are neither
// declared nor there.
func (e *environment) declare(services []landscape.Service) {
	for name, v := range e.services {
		v.declared = slices.ContainsFunc(services, func(d landscape.Service) bool { return d.Name == name })
		e.forget(name)
	}
	for _, d := range services {
		if e.services[d.Name] == nil {
			e.services[d.Name] = &service{declared: true, releases: map[int]*release{}, weights: fleet.Weights{}, credit: map[int]int{}}
		}
	}
}

func (e *environment) forget(name string) {
	if v := e.services[name]; !v.declared && len(v.releases) == 0 {
		delete(e.services, name)
	}
}

// Observe implements site.Site.
func (s *Site) Observe(ctx context.Context, name string) (site.Environment, error) {
	unlock, err := s.enter(ctx, Call{Method: "Observe", Environment: name})
	if err != nil {
		return site.Environment{}, err
	}
	defer unlock()
	e := s.environments[name]
	if e == nil {
		return site.Environment{}, fmt.Errorf("environment %q: %w", name, site.ErrNotFound)
	}
	return e.observe(), nil
}

// Remove implements site.Site.
func (s *Site) Remove(ctx context.Context, name string) error {
	unlock, err := s.enter(ctx, Call{Method: "Remove", Environment: name})
	if err != nil {
		return err
	}
	defer unlock()
	delete(s.environments, name)
	s.move()
	return nil
}

// enter begins a method: it suffers the injected faults, then locks.
func (s *Site) enter(ctx context.Context, call Call) (unlock func(), err error) {
	s.mu.Lock()
	f := s.faults
	s.mu.Unlock()
	if err := f.suffer(ctx, call); err != nil {
		return nil, fmt.Errorf("%s: %w", call, err)
	}
	s.mu.Lock()
	if err := s.answers(ctx, call); err != nil {
		s.mu.Unlock()
		return nil, err
	}
	return s.mu.Unlock, nil
}

// changed tells whoever waits, and the watcher of a test.
func (s *Site) changed(e *environment) {
	s.move()
	if s.faults.watch != nil {
		s.faults.watch(e.observe())
	}
}

func (s *Site) move() {
	close(s.moved)
	s.moved = make(chan struct{})
}

// find returns a service of an environment; the site is locked.
func (s *Site) find(environment, name string) (*environment, *service, error) {
	e := s.environments[environment]
	if e == nil {
		return nil, nil, fmt.Errorf("environment %q: %w", environment, site.ErrNotFound)
	}
	v := e.services[name]
	if v == nil {
		return nil, nil, fmt.Errorf("service %q in %q: %w", name, environment, site.ErrNotFound)
	}
	return e, v, nil
}

func (e *environment) observe() site.Environment {
	out := site.Environment{Name: e.name, Network: e.network}
	address := e.network.Addr()
	for _, name := range e.databases {
		address = address.Next()
		out.Databases = append(out.Databases, site.Database{Name: name, Address: netip.AddrPortFrom(address, 5432), Ready: true})
	}
	for _, name := range slices.Sorted(maps.Keys(e.services)) {
		out.Fleets = append(out.Fleets, e.services[name].observe(e.name, name))
	}
	return e.mortal(out)
}

func (v *service) observe(environment, name string) fleet.Fleet {
	f := fleet.Fleet{Environment: environment, Service: name, Weights: maps.Clone(v.weights), Traffic: map[int]fleet.Traffic{}}
	for _, r := range slices.SortedFunc(maps.Values(v.releases), func(a, b *release) int { return cmp.Compare(a.Number, b.Number) }) {
		f.Releases = append(f.Releases, r.Release)
		f.Instances = append(f.Instances, r.instances...)
		t := r.traffic
		t.Latency = slices.Clone(t.Latency)
		f.Traffic[r.Number] = t
	}
	return f
}

// address gives every instance one of its own within the network.
func (e *environment) address(n, port int) netip.AddrPort {
	raw := e.network.Addr().As4()
	host := 256 + n
	raw[2] += byte(host >> 8)
	raw[3] += byte(host)
	return netip.AddrPortFrom(netip.AddrFrom4(raw), uint16(port))
}

func (s *Site) instance(e *environment, r fleet.Release) fleet.Instance {
	s.launched++
	i := fleet.Instance{ID: fmt.Sprintf("%s-%d-%d", r.Service, r.Number, s.launched), Release: r.Number,
		Address: e.address(s.launched, r.Port), State: fleet.Ready, StartedAt: time.Now()}
	if s.faults.unready[r.Image] {
		i.State, i.Reason = fleet.Starting, "its health check is not answered"
	}
	return i
}
