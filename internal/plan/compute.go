package plan

import (
	"slices"
	"strings"

	"godwit/internal/fleet"
	"godwit/internal/landscape"
)

// Compute compares the landscape with what is there. images has the digest of
// each service's image; one that is missing or "" is not known yet, and then
// only the configuration is compared.
func Compute(l *landscape.Landscape, images map[string]string, have Have) Plan {
	c := computation{landscape: l, images: images, order: startOrder(l.Services)}
	have = have.sorted()
	for _, e := range l.Environments {
		there, exists := find(have.Environments, func(h HaveEnvironment) bool { return h.Name == e.Name })
		c.environment(e, there, exists)
	}
	for _, there := range have.Environments {
		if _, declared := l.Environment(there.Name); !declared {
			c.removeEnvironment(there)
		}
	}
	return c.plan()
}

// computation gathers changes by kind, so that they can be put in order.
type computation struct {
	landscape *landscape.Landscape
	images    map[string]string
	order     []landscape.Service

	environments, databases, services, edges, ingresses []Change
	removals                                            [4][]Change // edges and ingresses, services, databases, environments
	unchanged                                           int
	kept                                                []Kept
}

func (c *computation) plan() Plan {
	changes := append([]Change{}, slices.Concat(c.environments, c.databases, c.services, c.edges, c.ingresses)...)
	for _, r := range c.removals {
		changes = append(changes, r...)
	}
	return Plan{Changes: changes, Unchanged: c.unchanged, Kept: c.kept}
}

// remove keeps a removal for the end.
func (c *computation) remove(ch Change) {
	ch.Action = Remove
	i := map[Kind]int{Edge: 0, Ingress: 0, Service: 1, Database: 2, Environment: 3}[ch.Kind]
	c.removals[i] = append(c.removals[i], ch)
}

func (c *computation) environment(e landscape.Environment, there HaveEnvironment, exists bool) {
	protected := e.Protected || there.Protected
	ch := Change{Kind: Environment, Environment: e.Name, Name: e.Name, To: e.Network.String()}
	replaced := false
	switch {
	case !exists:
		ch.Action, ch.Reason = Create, "declared, and not there"
		c.environments = append(c.environments, ch)
	case there.Network != e.Network:
		ch.Action, ch.From, ch.Protected = Replace, there.Network.String(), protected
		ch.Reason = "its network changes, and with it every address inside"
		c.environments = append(c.environments, ch)
		replaced = true
	default:
		c.unchanged++
	}
	in := inside{computation: c, environment: e.Name, protected: protected, replaced: replaced, there: there}
	in.compareDatabases()
	in.compareServices()
	in.compareEdges()
	in.compareIngresses()
}

func (c *computation) removeEnvironment(there HaveEnvironment) {
	in := inside{computation: c, environment: there.Name, protected: there.Protected, gone: true, there: there}
	for _, i := range there.Ingresses {
		in.removeIngress(i)
	}
	for _, f := range slices.Backward(there.Fleets) {
		in.removeService(f)
	}
	for _, d := range slices.Backward(there.Databases) {
		in.removeDatabase(d, in.absent())
	}
	c.remove(Change{Kind: Environment, Environment: there.Name, Name: there.Name, From: there.Network.String(),
		Reason: "no longer declared", Protected: there.Protected})
}

// inside compares what is in one environment.
type inside struct {
	*computation
	environment string
	protected   bool
	replaced    bool // everything inside is made anew
	gone        bool // the environment is no longer declared
	there       HaveEnvironment
}

func (in inside) change(a Action, k Kind, name, from, to, reason string) Change {
	return Change{Action: a, Kind: k, Environment: in.environment, Name: name, From: from, To: to, Reason: reason}
}

// absent is why something is removed.
func (in inside) absent() string {
	if in.gone {
		return "its environment is no longer declared"
	}
	return "no longer declared"
}

func (in inside) compareDatabases() {
	for _, d := range in.landscape.Databases {
		switch {
		case !slices.Contains(in.there.Databases, d.Name):
			in.databases = append(in.databases, in.change(Create, Database, d.Name, "", d.Engine, "declared, and not there"))
		case in.replaced:
			ch := in.change(Replace, Database, d.Name, d.Engine, d.Engine, "its environment is replaced; its data is lost")
			ch.Protected = true
			in.databases = append(in.databases, ch)
		default:
			in.unchanged++
		}
	}
	for _, d := range slices.Backward(in.there.Databases) {
		if _, declared := in.landscape.Database(d); declared {
			continue
		}
		if in.replaced {
			in.removeDatabase(d, "no longer declared, and its environment is replaced")
		} else {
			in.keepDatabase(d)
		}
	}
}

// removeDatabase: it ends with its environment, and its data with it; that needs
// approval in every environment.
func (in inside) removeDatabase(name, reason string) {
	ch := in.change(Remove, Database, name, "postgres", "", reason+"; its data is lost")
	ch.Protected = true
	in.remove(ch)
}

// keepDatabase: a line that is gone from a file is not enough to lose data.
func (in inside) keepDatabase(name string) {
	in.kept = append(in.kept, Kept{Database, in.environment, name,
		"no longer declared; it is kept, for its data would be lost: it ends only with its environment, and is used again when it is declared again"})
}

func (in inside) compareIngresses() {
	for _, i := range in.landscape.Ingresses {
		host := landscape.IngressHost(in.landscape, i, in.environment)
		to := host + " -> " + i.Service
		there, exists := find(in.there.Ingresses, func(h HaveIngress) bool { return h.Name == i.Name })
		from := there.Host + " -> " + there.Service
		switch {
		case !exists:
			in.ingresses = append(in.ingresses, in.change(Create, Ingress, i.Name, "", to, "declared, and not there"))
		case there.Host != host:
			ch := in.change(Replace, Ingress, i.Name, from, to, "its host changes; the old one is answered no more")
			ch.Protected = in.protected
			in.ingresses = append(in.ingresses, ch)
		case there.Service != i.Service:
			in.ingresses = append(in.ingresses, in.change(Update, Ingress, i.Name, from, to, "its service changes"))
		default:
			in.unchanged++
		}
	}
	for _, i := range in.there.Ingresses {
		if _, declared := in.landscape.Ingress(i.Name); !declared {
			in.removeIngress(i)
		}
	}
}

func (in inside) removeIngress(i HaveIngress) {
	ch := in.change(Remove, Ingress, i.Name, i.Host+" -> "+i.Service, "", in.absent()+"; its host is answered no more")
	ch.Protected = in.protected
	in.remove(ch)
}

// sorted is the same by name: an observation has no order that means anything.
func (h Have) sorted() Have {
	environments := slices.Clone(h.Environments)
	slices.SortFunc(environments, func(a, b HaveEnvironment) int { return strings.Compare(a.Name, b.Name) })
	for i := range environments {
		e := &environments[i]
		e.Databases = slices.Sorted(slices.Values(e.Databases))
		e.Fleets = slices.SortedFunc(slices.Values(e.Fleets), func(a, b fleet.Fleet) int { return strings.Compare(a.Service, b.Service) })
		e.Ingresses = slices.SortedFunc(slices.Values(e.Ingresses), func(a, b HaveIngress) int { return strings.Compare(a.Name, b.Name) })
	}
	return Have{environments}
}

func find[T any](all []T, is func(T) bool) (T, bool) {
	if i := slices.IndexFunc(all, is); i >= 0 {
		return all[i], true
	}
	var none T
	return none, false
}
