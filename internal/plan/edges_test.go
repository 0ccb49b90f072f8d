package plan_test

import (
	"net/netip"
	"slices"
	"testing"

	"godwit/internal/fleet"
	"godwit/internal/landscape"
	"godwit/internal/plan"
)

// TestEdges: what a service that is there needs more, or no more, is a change of
// its own; what comes or goes with a service is not.
func TestEdges(t *testing.T) {
	t.Parallel()
	node := func(kind, name string) landscape.Node { return landscape.Node{Kind: kind, Name: name} }
	till, menu, stock, data := node("service", "till"), node("service", "menu"), node("service", "stock"), node("database", "till")
	l := &landscape.Landscape{
		Environments: []landscape.Environment{{Name: "test", Network: netip.MustParsePrefix("10.1.0.0/16")}},
		Services: []landscape.Service{
			{Name: "till", Port: 80, Needs: []landscape.Ref{{Kind: "database", Name: "till"}, {Kind: "service", Name: "stock"}}},
			{Name: "menu", Port: 80}, {Name: "stock", Port: 80},
			{Name: "made", Port: 80, Needs: []landscape.Ref{{Kind: "service", Name: "menu"}}},
		},
		Databases: []landscape.Database{{Name: "till", Engine: "postgres"}},
	}
	there := plan.HaveEnvironment{Name: "test", Network: netip.MustParsePrefix("10.1.0.0/16"), Databases: []string{"till"},
		Edges: []landscape.Edge{{From: till, To: menu, Port: 80}, {From: till, To: data, Port: 5432}, {From: stock, To: menu, Port: 80},
			{From: node("service", "gone"), To: menu, Port: 80}}}
	for _, name := range []string{"till", "menu", "stock", "gone"} {
		there.Fleets = append(there.Fleets, fleet.Fleet{Service: name})
	}
	edges := func(there plan.HaveEnvironment) []string {
		var lines []string
		for _, c := range plan.Compute(l, nil, plan.Have{Environments: []plan.HaveEnvironment{there}}).Changes {
			if c.Kind == plan.Edge {
				lines = append(lines, string(c.Action)+" "+c.Name)
			}
		}
		return lines
	}
	want := []string{"create till -> service stock", "remove till -> service menu", "remove stock -> service menu"}
	if got := edges(there); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	there.Network = netip.MustParsePrefix("10.2.0.0/16")
	if got := edges(there); got != nil {
		t.Errorf("of an environment that is replaced: %q", got)
	}
	there.Network, there.Edges = netip.MustParsePrefix("10.1.0.0/16"), nil
	if got := edges(there); got != nil {
		t.Errorf("where the site does not say what is open: %q", got)
	}
}
