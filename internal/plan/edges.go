package plan

import (
	"slices"

	"godwit/internal/fleet"
	"godwit/internal/landscape"
)

// compareEdges looks at what services that are there, and stay, need more or no
// more. The edges of others come and go with them.
func (in inside) compareEdges() {
	if in.there.Edges == nil || in.replaced {
		return
	}
	var declared []landscape.Edge
	for _, e := range landscape.Edges(in.landscape) {
		if e.From != landscape.Gateway {
			declared = append(declared, e)
		}
	}
	for _, e := range declared {
		if in.stays(e.From) && !has(in.there.Edges, e) {
			in.edges = append(in.edges, in.change(Create, Edge, edgeName(e), "", "", "declared as a need, and not open"))
		}
	}
	for _, e := range in.there.Edges {
		if in.stays(e.From) && !has(declared, e) {
			in.remove(in.change(Remove, Edge, edgeName(e), "", "", "no longer a need; connections over it end"))
		}
	}
}

// stays: it is there and goes on being declared.
func (in inside) stays(n landscape.Node) bool {
	_, declared := in.landscape.Service(n.Name)
	return declared && slices.ContainsFunc(in.there.Fleets, func(f fleet.Fleet) bool { return f.Service == n.Name })
}

func edgeName(e landscape.Edge) string { return e.From.Name + " -> " + e.To.Kind + " " + e.To.Name }

// has: the same two ends, on whatever port: a service that changes its port is a
// change of the service.
func has(edges []landscape.Edge, e landscape.Edge) bool {
	return slices.ContainsFunc(edges, func(other landscape.Edge) bool { return other.From == e.From && other.To == e.To })
}
