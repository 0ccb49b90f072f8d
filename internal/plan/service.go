package plan

import (
	"fmt"
	"slices"
	"strings"

	"godwit/internal/fleet"
	"godwit/internal/landscape"
)

// Live is the release that serves: the one with the greatest weight, the
// youngest of equals; false when none has weight.
func Live(f fleet.Fleet) (fleet.Release, bool) {
	var live fleet.Release
	for _, r := range f.Releases {
		w := f.Weights[r.Number]
		if w > 0 && (w > f.Weights[live.Number] || w == f.Weights[live.Number] && r.Number > live.Number) {
			live = r
		}
	}
	return live, f.Weights[live.Number] > 0
}

// LiveOf is the release of a service that serves in an environment; the zero
// release when there is none.
func LiveOf(fleets []fleet.Fleet, service string) fleet.Release {
	for _, f := range fleets {
		if f.Service == service {
			live, _ := Live(f)
			return live
		}
	}
	return fleet.Release{}
}

func (in inside) compareServices() {
	for _, s := range in.order {
		f, exists := find(in.there.Fleets, func(f fleet.Fleet) bool { return f.Service == s.Name })
		live, serving := Live(f)
		wanted := in.wanted(s)
		switch {
		case !exists || !serving && len(f.Instances) == 0:
			in.services = append(in.services, in.change(Create, Service, s.Name, "", describe(wanted), "declared, and not there"))
		case in.replaced:
			ch := in.change(Replace, Service, s.Name, describe(live), describe(wanted), "its environment is replaced")
			ch.Protected = in.protected
			in.services = append(in.services, ch)
		case !serving:
			in.services = append(in.services, in.change(Update, Service, s.Name, "", describe(wanted), "no release of it gets requests"))
		default:
			if differs := differences(wanted, live); len(differs) > 0 {
				reason := strings.Join(differs, "; ")
				in.services = append(in.services, in.change(Update, Service, s.Name, describe(live), describe(wanted), reason))
			} else {
				in.unchanged++
			}
		}
	}
	for _, f := range slices.Backward(in.there.Fleets) {
		if _, declared := in.landscape.Service(f.Service); !declared {
			in.removeService(f)
		}
	}
}

func (in inside) removeService(f fleet.Fleet) {
	live, serving := Live(f)
	from := "no release"
	if serving {
		from = describe(live)
	}
	ch := in.change(Remove, Service, f.Service, from, "", in.absent())
	ch.Protected = in.protected
	in.remove(ch)
}

// wanted is the release that the landscape asks for, without number.
func (in inside) wanted(s landscape.Service) fleet.Release {
	return fleet.Release{Environment: in.environment, Service: s.Name, Image: in.images[s.Name],
		Port: s.Port, Env: s.Env, Health: s.Health, Count: s.Scale.Min}
}

// differences are the reasons for a new release, in words. Values of env are
// never shown: they may be secrets.
func differences(want, have fleet.Release) []string {
	var all []string
	if want.Image != "" && want.Image != have.Image {
		all = append(all, "its image changes")
	}
	if names := differentEnv(want.Env, have.Env); len(names) > 0 {
		all = append(all, "its env changes: "+strings.Join(names, ", "))
	}
	if want.Port != have.Port {
		all = append(all, fmt.Sprintf("its port changes from %d to %d", have.Port, want.Port))
	}
	if want.Health != have.Health {
		all = append(all, "its health check changes")
	}
	if want.Count != have.Count {
		all = append(all, fmt.Sprintf("its instances change from %d to %d", have.Count, want.Count))
	}
	return all
}

// differentEnv are the names that are added (+), removed (-) or changed (~).
func differentEnv(want, have map[string]landscape.Value) []string {
	var names []string
	for name := range want {
		if old, ok := have[name]; !ok {
			names = append(names, "+"+name)
		} else if old.String() != want[name].String() {
			names = append(names, "~"+name)
		}
	}
	for name := range have {
		if _, ok := want[name]; !ok {
			names = append(names, "-"+name)
		}
	}
	slices.SortFunc(names, func(a, b string) int { return strings.Compare(a[1:], b[1:]) })
	return names
}

// describe shows a release in a few words.
func describe(r fleet.Release) string {
	s := "image not built yet"
	if r.Image != "" {
		s = shortDigest(r.Image)
	}
	if r.Number > 0 {
		s = fmt.Sprintf("release %d, %s", r.Number, s)
	}
	return fmt.Sprintf("%s, %d instances on port %d", s, r.Count, r.Port)
}

func shortDigest(digest string) string {
	algorithm, hex, ok := strings.Cut(digest, ":")
	if ok && len(hex) > 12 {
		return algorithm + ":" + hex[:12]
	}
	return digest
}

// startOrder puts services after those that they need; otherwise they stay in
// order of declaration. Parse has seen to it that there are no circles; if there
// are, the first declared comes last of its circle.
func startOrder(services []landscape.Service) []landscape.Service {
	byName := map[string]landscape.Service{}
	for _, s := range services {
		byName[s.Name] = s
	}
	var ordered []landscape.Service
	visited := map[string]bool{}
	var visit func(landscape.Service)
	visit = func(s landscape.Service) {
		if visited[s.Name] {
			return
		}
		visited[s.Name] = true
		for _, need := range s.Needs {
			if needed, ok := byName[need.Name]; ok && need.Kind == "service" {
				visit(needed)
			}
		}
		ordered = append(ordered, s)
	}
	for _, s := range services {
		visit(s)
	}
	return ordered
}
