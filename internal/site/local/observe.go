package local

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"godwit/internal/fleet"
	"godwit/internal/gateway"
	"godwit/internal/landscape"
	"godwit/internal/site"
	"godwit/internal/site/local/warden"
)

// gatewayAnswers bounds what an observation waits for the gateway: less than who asks
// waits for the observation, so that the one which hangs is named.
const gatewayAnswers = 1500 * time.Millisecond

// Observe implements site.Site. It changes nothing; an environment whose warden
// has died is reported with everything in it dead, and Apply brings it back. With
// the error that the gateway does not answer comes all but its traffic.
func (s *Site) Observe(ctx context.Context, environment string) (site.Environment, error) {
	r, err := s.load(environment)
	if err != nil {
		return site.Environment{}, err
	}
	statuses, err := s.statuses(ctx, environment)
	if err != nil {
		return site.Environment{}, err
	}
	e := site.Environment{Name: environment, Network: r.Network, Edges: r.needs()}
	for _, name := range slices.Sorted(maps.Keys(r.Databases)) {
		d := r.Databases[name]
		i := statuses[databaseID(name)]
		o := site.Database{Name: name, Address: netip.AddrPortFrom(d.Address, landscape.DatabasePort),
			Ready: i.Ready && d.Ready, Reason: i.Reason}
		if !o.Ready && o.Reason == "" {
			o.Reason = "not running, or its role and database are not made yet"
		}
		e.Databases = append(e.Databases, o)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Services)) {
		e.Fleets = append(e.Fleets, r.fleet(name, statuses))
	}
	return e, s.addTraffic(ctx, e)
}

func (s *Site) addTraffic(ctx context.Context, e site.Environment) error {
	limit, cancel := context.WithTimeout(ctx, gatewayAnswers)
	defer cancel()
	for i := range e.Fleets {
		traffic, err := s.Gateway.Traffic(limit, pool(e.Name, e.Fleets[i].Service))
		switch {
		case limit.Err() != nil && ctx.Err() == nil:
			return fmt.Errorf("traffic of environment %s: %w within %v; a watchdog replaces it if that goes on", e.Name, site.ErrGatewaySilent, gatewayAnswers)
		case err != nil && !errors.Is(err, gateway.ErrNotFound):
			return fmt.Errorf("traffic of %s in %s: %w", e.Fleets[i].Service, e.Name, err)
		}
		e.Fleets[i].Traffic = traffic
	}
	return nil
}

// needs are the edges that services have: what they were declared with last.
func (r *record) needs() []landscape.Edge {
	edges := []landscape.Edge{}
	for _, name := range slices.Sorted(maps.Keys(r.Services)) {
		for _, need := range r.Services[name].Needs {
			port := landscape.DatabasePort
			if v := r.Services[need.Name]; need.Kind == "service" && v != nil {
				port = v.Port
			}
			edges = append(edges, landscape.Edge{From: landscape.Node{Kind: "service", Name: name}, To: landscape.Node(need), Port: port})
		}
	}
	return edges
}

// statuses of the warden's instances by id; what is missing is dead.
func (s *Site) statuses(ctx context.Context, environment string) (map[string]warden.Status, error) {
	all, err := s.client(environment).Instances(ctx)
	if err != nil && !errors.Is(err, warden.ErrNotRunning) {
		return nil, err
	}
	byID := map[string]warden.Status{}
	for _, i := range all {
		byID[i.ID] = i
	}
	return byID, nil
}

func (r *record) fleet(service string, statuses map[string]warden.Status) fleet.Fleet {
	v := r.Services[service]
	f := fleet.Fleet{Environment: r.Name, Service: service, Weights: maps.Clone(v.Weights)}
	for _, number := range slices.Sorted(maps.Keys(v.Releases)) {
		f.Releases = append(f.Releases, *v.Releases[number])
		for _, id := range r.instancesOf(service, number) {
			status, known := statuses[id]
			i := fleet.Instance{ID: id, Release: number, StartedAt: status.StartedAt, Reason: status.Reason,
				Address: netip.AddrPortFrom(r.Instances[id].Address, uint16(v.Releases[number].Port))}
			switch {
			case !known:
				i.State, i.Reason = fleet.Dead, "its environment is not running; the engine brings it back, or godwit up does"
			case status.Ready:
				i.State = fleet.Ready
			case status.Running:
				i.State = fleet.Starting
			default:
				i.State = fleet.Dead
			}
			f.Instances = append(f.Instances, i)
		}
	}
	return f
}
