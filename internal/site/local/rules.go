package local

import (
	"maps"
	"net/netip"
	"slices"

	"godwit/internal/gateway"
	"godwit/internal/landscape"
	"godwit/internal/site/local/network"
	"godwit/internal/site/local/warden"
)

// rules are everything that is open in an environment: what services need, what
// the gateway serves, and the relays while they are open.
func (r *record) rules() network.Rules {
	var rules network.Rules
	for _, name := range slices.Sorted(maps.Keys(r.Services)) {
		v := r.Services[name]
		targets := r.endpoints(name)
		rules.Router = append(rules.Router, targets...)
		if v.Ingress {
			rules.Gateway = append(rules.Gateway, targets...)
		}
		rules.Virtuals = append(rules.Virtuals, r.virtual(name))
		for _, need := range v.Needs {
			rules.Edges = append(rules.Edges, r.edges(name, need)...)
		}
	}
	for name, d := range r.Databases {
		rules.Router = append(rules.Router, r.realPort(d.Address, landscape.DatabasePort))
		if relay := r.Relays[name]; relay != nil {
			rules.Edges = append(rules.Edges, network.Edge{From: r.real(d.Address),
				To: r.realPort(r.Router, int(relay.Port))})
		}
	}
	return rules
}

// endpoints are where the instances of a service listen.
func (r *record) endpoints(service string) []netip.AddrPort {
	var all []netip.AddrPort
	for _, id := range r.instancesOf(service, 0) {
		all = append(all, r.endpoint(id))
	}
	return all
}

func (r *record) endpoint(id string) netip.AddrPort {
	i := r.Instances[id]
	return r.realPort(i.Address, r.Services[i.Service].Releases[i.Release].Port)
}

// virtual shares the service's address among its releases by their weights.
func (r *record) virtual(service string) network.Virtual {
	v := r.Services[service]
	var groups [][]netip.AddrPort
	var weights []int
	for _, release := range slices.Sorted(maps.Keys(v.Releases)) {
		var group []netip.AddrPort
		for _, id := range r.instancesOf(service, release) {
			group = append(group, r.endpoint(id))
		}
		groups, weights = append(groups, group), append(weights, v.Weights[release])
	}
	return network.Virtual{Address: r.realPort(v.Virtual, v.Port), Endpoints: network.Spread(groups, weights)}
}

func (r *record) edges(from string, need landscape.Ref) []network.Edge {
	var targets []netip.AddrPort
	switch need.Kind {
	case "service":
		if r.Services[need.Name] != nil {
			targets = r.endpoints(need.Name)
		}
	case "database":
		if d := r.Databases[need.Name]; d != nil {
			targets = []netip.AddrPort{r.realPort(d.Address, landscape.DatabasePort)}
		}
	}
	var edges []network.Edge
	for _, id := range r.instancesOf(from, 0) {
		for _, to := range targets {
			edges = append(edges, network.Edge{From: r.real(r.Instances[id].Address), To: to})
		}
	}
	return edges
}

// pool is the service as the gateway sees it.
func (s *Site) pool(r *record, service string) gateway.Pool {
	p := gateway.Pool{Weights: r.Services[service].Weights}
	for _, id := range r.instancesOf(service, 0) {
		e := gateway.Endpoint{ID: id, Address: r.endpoint(id).String(), Release: r.Instances[id].Release}
		if !s.plain {
			e.Via = warden.DoorSocket(s.wardenDir(r.Name))
		}
		p.Endpoints = append(p.Endpoints, e)
	}
	return p
}

// hosts are the names of an environment.
func (r *record) hosts() map[string]netip.Addr {
	hosts := map[string]netip.Addr{}
	for name, v := range r.Services {
		hosts[landscape.ServiceHost(name)] = r.real(v.Virtual)
	}
	for name, d := range r.Databases {
		hosts[landscape.DatabaseHost(name)] = r.real(d.Address)
	}
	return hosts
}
