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
	rules := network.Rules{Parties: map[string]network.Party{}}
	for _, name := range slices.Sorted(maps.Keys(r.Services)) {
		v := r.Services[name]
		party := network.Party{At: r.endpoints(name)}
		for _, id := range r.instancesOf(name, 0) {
			party.From = append(party.From, r.real(r.Instances[id].Address))
		}
		rules.Parties[serviceParty(name)] = party
		rules.Router = append(rules.Router, party.At...)
		if v.Ingress {
			rules.Gateway = append(rules.Gateway, party.At...)
		}
		rules.Virtuals = append(rules.Virtuals, r.virtual(name))
		for _, need := range v.Needs {
			if to, there := r.needed(need); there {
				rules.Edges = append(rules.Edges, network.Edge{From: serviceParty(name), To: to})
			}
		}
	}
	for name, d := range r.Databases {
		at := r.realPort(d.Address, landscape.DatabasePort)
		rules.Parties[databaseParty(name)] = network.Party{From: []netip.Addr{at.Addr()}, At: []netip.AddrPort{at}}
		rules.Router = append(rules.Router, at)
		if relay := r.Relays[name]; relay != nil {
			rules.Relays = append(rules.Relays, at)
			rules.Parties[relayParty(name)] = network.Party{At: []netip.AddrPort{r.realPort(r.Router, int(relay.Port))}}
			rules.Edges = append(rules.Edges, network.Edge{From: databaseParty(name), To: relayParty(name)})
		}
	}
	return rules
}

// Names of parties. A service, a database and its relay may have the same name.
func serviceParty(name string) string   { return "service " + name }
func databaseParty(name string) string  { return "database " + name }
func relayParty(database string) string { return "relay of " + database }

// needed is the party that a need is about.
func (r *record) needed(need landscape.Ref) (party string, there bool) {
	switch need.Kind {
	case "service":
		return serviceParty(need.Name), r.Services[need.Name] != nil
	case "database":
		return databaseParty(need.Name), r.Databases[need.Name] != nil
	}
	return "", false
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
