package aws

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"godwit/internal/fleet"
	"godwit/internal/site"
	"godwit/internal/site/aws/convention"
)

// sideBySide is how many services are read at once: AWS counts calls.
const sideBySide = 4

// Observe implements site.Site.
func (s *Site) Observe(ctx context.Context, environment string) (site.Environment, error) {
	scope := s.scope(environment)
	network, err := s.vpc(ctx, scope)
	if err != nil {
		return site.Environment{}, err
	}
	e := site.Environment{Name: environment, Network: network}
	if e.Databases, err = s.databases(ctx, scope); err != nil {
		return site.Environment{}, err
	}
	services, err := s.services(ctx, scope)
	if err != nil {
		return site.Environment{}, err
	}
	names := slices.Sorted(maps.Keys(services))
	fleets := make([]*fleet.Fleet, len(names))
	group, each := errgroup.WithContext(ctx)
	group.SetLimit(sideBySide)
	for i, name := range names {
		group.Go(func() (err error) {
			fleets[i], err = s.fleet(each, scope, name, services[name])
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return site.Environment{}, err
	}
	for _, f := range fleets {
		if f != nil {
			e.Fleets = append(e.Fleets, *f)
		}
	}
	return e, nil
}

// services are the groups of an environment by service.
func (s *Site) services(ctx context.Context, scope convention.Scope) (map[string][]group, error) {
	all, err := s.groups(ctx, scope)
	if err != nil {
		return nil, err
	}
	by := map[string][]group{}
	for _, g := range all {
		if g.service != "" && g.name == scope.Group(g.service, g.colour) {
			by[g.service] = append(by[g.service], g)
		}
	}
	return by, nil
}

// fleet reads a service; nil when it was withdrawn and nothing of it is left.
func (s *Site) fleet(ctx context.Context, scope convention.Scope, service string, groups []group) (*fleet.Fleet, error) {
	v, err := s.assemble(ctx, scope, service, groups)
	if err != nil || v.gone() {
		return nil, err
	}
	f := &fleet.Fleet{Environment: scope.Environment, Service: service, Weights: v.weights(), Traffic: map[int]fleet.Traffic{}}
	var ids []string
	for _, p := range v.places {
		for _, m := range p.members {
			ids = append(ids, m.id)
		}
	}
	machines, err := s.machines(ctx, ids)
	if err != nil {
		return nil, err
	}
	begun := v.begun()
	for _, p := range v.places {
		if err := s.observePlace(ctx, p, f, machines, begun); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(f.Releases, func(a, b fleet.Release) int { return a.Number - b.Number })
	return f, nil
}

// begun is since when traffic is counted: since the youngest release is there.
// So while two are compared their counters begin together and only grow, and
// what CloudWatch has to be asked for stays short.
func (v *deployment) begun() time.Time {
	var begun time.Time
	for _, p := range v.places {
		if p.release > 0 && p.since.After(begun) {
			begun = p.since
		}
	}
	return begun
}

func (s *Site) observePlace(ctx context.Context, p *place, f *fleet.Fleet, machines map[string]machine, begun time.Time) error {
	if p.release == 0 && len(p.members) == 0 {
		return nil
	}
	numbers := []string{p.version}
	for _, m := range p.members {
		numbers = append(numbers, m.version)
	}
	known, err := s.documents(ctx, p.templateID, numbers)
	if err != nil {
		return err
	}
	h, err := s.health(ctx, p)
	if err != nil {
		return err
	}
	for _, m := range p.members {
		u, ok := known[m.version]
		if !ok {
			u = known[p.version]
		}
		f.Instances = append(f.Instances, observed(m, u.Release, h, machines))
	}
	if u, ok := known[p.version]; ok && p.release > 0 && u.Release.Number == p.release {
		f.Releases = append(f.Releases, u.Release)
	}
	if p.release == 0 {
		return nil
	}
	if f.Traffic[p.release], err = s.traffic(ctx, p, begun); err != nil {
		return fmt.Errorf("counting the requests of release %d: %w", p.release, err)
	}
	return nil
}

// observed is a member as the contract knows it.
func observed(m member, release fleet.Release, h health, machines map[string]machine) fleet.Instance {
	state, reason := h.state(m)
	i := fleet.Instance{ID: m.id, Release: release.Number, State: state, Reason: reason}
	if machine, ok := machines[m.id]; ok {
		i.StartedAt = machine.started
		if machine.address.IsValid() {
			i.Address = netip.AddrPortFrom(machine.address, uint16(release.Port))
		}
		if machine.ended != "" && state != fleet.Draining {
			i.State, i.Reason = fleet.Dead, "EC2: "+machine.ended
		}
	}
	return i
}
