package landscape

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// checkAll checks what only the whole landscape can tell.
func (r *reader) checkAll() {
	r.checkPresence()
	if !r.partial {
		r.checkUses()
		r.checkSources()
		r.checkEnv()
	}
	r.checkNetworks()
	r.checkRoom()
	r.checkHosts()
	r.checkCycles()
	r.checkMigrations()
	r.checkAWS()
}

// checkPresence reports what every landscape must have.
func (r *reader) checkPresence() {
	if r.partial {
		return
	}
	at := place{src: r.first}
	if r.landscape.Name == "" && len(r.declared["landscape"]) == 0 {
		r.add(at, Error, "no landscape is declared", `add landscape "name" {}`)
	}
	if len(r.landscape.Environments) == 0 {
		r.add(at, Warning, "no environment is declared, so nothing can be brought up", `add environment "test" { network = "10.10.0.0/16" }`)
	}
}

// checkUses reports references to what is not declared.
func (r *reader) checkUses() {
	for _, u := range r.uses {
		r.unknown(u.ref, u.at, "there is no %s %s")
	}
}

// checkSources reports what runs in a source but is not declared: it could not
// be moved anywhere.
func (r *reader) checkSources() {
	for _, u := range r.endpoints {
		r.unknown(u.ref, u.at, "the source has a %s %s that the landscape does not declare")
	}
}

// unknown adds a finding when ref is not declared, and reports whether it is
// not. The message has a place for kind and name.
func (r *reader) unknown(ref Ref, at place, message string) bool {
	if _, ok := r.declared[ref.Kind][ref.Name]; ok {
		return false
	}
	mend := r.mend(ref.Name, r.names(ref.Kind))
	if mend == "" {
		mend = fmt.Sprintf("declare it: %s %s { … }", ref.Kind, quoted(ref.Name))
	}
	r.add(at, Error, fmt.Sprintf(message, ref.Kind, quoted(ref.Name)), mend)
	return true
}

// names are all declared names of a kind, sorted; made once, for there may be
// thousands of unknown ones to compare.
func (r *reader) names(kind string) []string {
	if r.sorted == nil {
		r.sorted = map[string][]string{}
	}
	if _, ok := r.sorted[kind]; !ok {
		r.sorted[kind] = slices.Sorted(maps.Keys(r.declared[kind]))
	}
	return r.sorted[kind]
}

// checkEnv reports values that refer to what the service does not need: the
// edge would be closed.
func (r *reader) checkEnv() {
	for _, s := range r.services {
		needed := map[Ref]bool{}
		for _, n := range s.Needs {
			needed[n] = true
		}
		for _, u := range s.env {
			ref := Ref{Kind: u.ref.Kind, Name: u.ref.Name}
			if ref.Kind != kindService && ref.Kind != kindDatabase || needed[ref] || ref == (Ref{kindService, s.Name}) {
				continue
			}
			if r.unknown(ref, u.at, "there is no %s %s") {
				continue
			}
			r.add(u.at, Error, fmt.Sprintf("%s in env of service %s refers to %s, which is not in needs", u.key, quoted(s.Name), ref),
				fmt.Sprintf("add %s to needs; no other edge is opened", ref))
		}
	}
}

// checkNetworks reports overlapping networks. Sorted by address, a network
// overlaps an earlier one exactly when it begins before the farthest end so far.
func (r *reader) checkNetworks() {
	sorted := slices.DeleteFunc(slices.Clone(r.environs), func(e declaredEnvironment) bool { return !e.Network.IsValid() })
	slices.SortStableFunc(sorted, func(a, b declaredEnvironment) int { return a.Network.Addr().Compare(b.Network.Addr()) })
	for i, widest := 1, 0; i < len(sorted); i++ {
		if sorted[widest].Network.Overlaps(sorted[i].Network) {
			a, b := sorted[widest], sorted[i]
			r.add(b.networkAt, Error, fmt.Sprintf("network %s of environment %s overlaps %s of environment %s",
				b.Network, quoted(b.Name), a.Network, quoted(a.Name)), "give each environment a network of its own")
			continue // networks nest or are apart: the wide one stays the widest
		}
		widest = i
	}
}

// checkRoom reports environments whose network cannot hold the landscape.
func (r *reader) checkRoom() {
	instances := 0
	for _, s := range r.landscape.Services {
		instances += s.Scale.Max
	}
	wanted := []struct {
		what  string
		count int
	}{{"services", len(r.landscape.Services)}, {"databases", len(r.landscape.Databases)}, {"instances", instances}}
	for _, e := range r.environs {
		if !e.Network.IsValid() {
			continue
		}
		room := quarterHosts(e.Network)
		for _, w := range wanted {
			if w.count > room {
				r.add(e.networkAt, Error, fmt.Sprintf("network %s of environment %s has room for %d %s, and %d are declared",
					e.Network, quoted(e.Name), room, w.what, w.count), "take a larger network, for instance a /16, or declare less")
			}
		}
	}
}

// checkHosts reports hosts that two ingresses would answer, as declared or with
// the name of an environment in front.
func (r *reader) checkHosts() {
	first := map[string]declaredHost{}
	for _, h := range r.hosts {
		if f, doubled := first[h.host]; doubled {
			r.add(h.at, Error, fmt.Sprintf("host %s belongs to ingress %s already", quoted(h.host), quoted(f.ingress)), "give each ingress a host of its own")
			continue
		}
		first[h.host] = h
	}
	for _, h := range r.hosts {
		label, rest, _ := strings.Cut(h.host, ".")
		_, environment := r.declared[kindEnvironment][label]
		if other, taken := first[rest]; environment && taken && first[h.host].at == h.at {
			r.add(h.at, Error, fmt.Sprintf("host %s is also what ingress %s has in environment %s", quoted(h.host), quoted(other.ingress), quoted(label)),
				"take a host that does not begin with the name of an environment")
		}
	}
}

// checkMigrations reports migrations that contradict each other or move nothing.
func (r *reader) checkMigrations() {
	sources := map[string]declaredSource{}
	for _, s := range r.sources {
		sources[s.Name] = s
	}
	moved := map[string]map[Ref]string{} // environment, what, migration
	for _, m := range r.moves {
		s, ok := sources[m.Source]
		if !ok {
			continue
		}
		if len(s.Services)+len(s.Databases) == 0 && !r.partial {
			r.add(m.at, Error, fmt.Sprintf("migration %s moves nothing: source %s is empty", quoted(m.Name), quoted(s.Name)),
				`add service "name" { url = … } or database "name" { url = … } to the source`)
		}
		if moved[m.Environment] == nil {
			moved[m.Environment] = map[Ref]string{}
		}
		for _, ref := range s.refs() {
			if other, doubled := moved[m.Environment][ref]; doubled {
				r.add(m.at, Error, fmt.Sprintf("migrations %s and %s both move %s into environment %s", quoted(other), quoted(m.Name), ref, quoted(m.Environment)),
					"move it once, or into different environments")
				break
			}
			moved[m.Environment][ref] = m.Name
		}
	}
}

// refs are what runs in the source.
func (s Source) refs() []Ref {
	var refs []Ref
	for _, e := range s.Services {
		refs = append(refs, Ref{kindService, e.Name})
	}
	for _, e := range s.Databases {
		refs = append(refs, Ref{kindDatabase, e.Name})
	}
	return refs
}
