package plan_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"godwit/internal/fleet"
	"godwit/internal/landscape"
	"godwit/internal/plan"
)

func drawLandscape(t *rapid.T, label string) (*landscape.Landscape, map[string]string) {
	subset := func(kind string, names ...string) []string {
		return rapid.SliceOfNDistinct(rapid.SampledFrom(names), 0, len(names), rapid.ID).Draw(t, label+" "+kind)
	}
	l := &landscape.Landscape{Name: "l"}
	for _, n := range subset("environments", "test", "stage", "production", "live") {
		l.Environments = append(l.Environments, landscape.Environment{
			Name:      n,
			Network:   netip.MustParsePrefix(fmt.Sprintf("10.%d.0.0/16", rapid.IntRange(1, 3).Draw(t, "network"))),
			Protected: rapid.Bool().Draw(t, "protected"),
		})
	}
	for _, n := range subset("databases", "till", "menu", "stock") {
		l.Databases = append(l.Databases, landscape.Database{Name: n, Engine: "postgres"})
	}
	images := map[string]string{}
	for _, n := range subset("services", "till", "menu", "kitchen", "stock") {
		s := landscape.Service{Name: n, Port: rapid.IntRange(80, 82).Draw(t, "port"), Env: map[string]landscape.Value{}}
		s.Scale.Min = rapid.IntRange(1, 3).Draw(t, "min")
		for _, key := range subset("env", "A", "B") {
			s.Env[key] = landscape.Literal(rapid.SampledFrom([]string{"", "x", "y"}).Draw(t, "value"))
		}
		if before := len(l.Services); before > 0 && rapid.Bool().Draw(t, "needs") {
			s.Needs = []landscape.Ref{{Kind: "service", Name: l.Services[before-1].Name}}
		}
		images[n] = rapid.SampledFrom([]string{"sha256:one", "sha256:two"}).Draw(t, "image")
		l.Services = append(l.Services, s)
	}
	for _, n := range subset("ingresses", "till", "menu") {
		if len(l.Services) > 0 {
			l.Ingresses = append(l.Ingresses, landscape.Ingress{Name: n, Host: n + ".example", Service: l.Services[0].Name})
		}
	}
	l.Services = rapid.Permutation(l.Services).Draw(t, "order")
	return l, images
}

// world is what carrying plans out changes, by environment, kind and name. It
// knows only what a change says about the thing, so a change that is missing or
// not enough shows.
func carriedOut(l *landscape.Landscape, images map[string]string, have plan.Have, p plan.Plan) plan.Have {
	byName := map[string]*plan.HaveEnvironment{}
	for _, e := range have.Environments {
		e.Databases, e.Fleets, e.Ingresses = slices.Clone(e.Databases), slices.Clone(e.Fleets), slices.Clone(e.Ingresses)
		byName[e.Name] = &e
	}
	for _, c := range p.Changes {
		if c.Kind == plan.Environment {
			carryOutEnvironment(l, byName, c)
			continue
		}
		e := byName[c.Environment]
		gone := c.Action == plan.Remove
		switch c.Kind {
		case plan.Database:
			e.Databases = slices.DeleteFunc(e.Databases, func(d string) bool { return d == c.Name })
			if !gone {
				e.Databases = append(e.Databases, c.Name)
			}
		case plan.Service:
			e.Fleets = slices.DeleteFunc(e.Fleets, func(f fleet.Fleet) bool { return f.Service == c.Name })
			if !gone {
				e.Fleets = append(e.Fleets, serving(l, images, c.Environment, c.Name))
			}
		case plan.Ingress:
			e.Ingresses = slices.DeleteFunc(e.Ingresses, func(i plan.HaveIngress) bool { return i.Name == c.Name })
			if !gone {
				in, _ := l.Ingress(c.Name)
				e.Ingresses = append(e.Ingresses, plan.HaveIngress{Name: c.Name, Host: landscape.IngressHost(l, in, c.Environment), Service: in.Service})
			}
		}
	}
	var after plan.Have
	for _, e := range byName {
		after.Environments = append(after.Environments, *e)
	}
	return after
}

func carryOutEnvironment(l *landscape.Landscape, byName map[string]*plan.HaveEnvironment, c plan.Change) {
	e, _ := l.Environment(c.Name)
	switch c.Action {
	case plan.Remove:
		if old := byName[c.Name]; len(old.Databases)+len(old.Fleets)+len(old.Ingresses) > 0 {
			panic("an environment is removed before what is in it")
		}
		delete(byName, c.Name)
	case plan.Create:
		byName[c.Name] = &plan.HaveEnvironment{Name: e.Name, Network: e.Network, Protected: e.Protected}
	case plan.Replace:
		old := byName[c.Name]
		byName[c.Name] = &plan.HaveEnvironment{Name: e.Name, Network: e.Network, Protected: e.Protected, Ingresses: old.Ingresses}
	}
}

func serving(l *landscape.Landscape, images map[string]string, environment, service string) fleet.Fleet {
	s, _ := l.Service(service)
	return fleet.Fleet{Environment: environment, Service: service, Weights: fleet.Weights{4: 1}, Releases: []fleet.Release{
		{Number: 9, Image: "sha256:unshifted"},
		{Environment: environment, Service: service, Number: 4, Image: images[service], Port: s.Port, Env: s.Env, Health: s.Health, Count: s.Scale.Min},
	}}
}

func existing(l *landscape.Landscape, images map[string]string) plan.Have {
	return carriedOut(l, images, plan.Have{}, plan.Compute(l, images, plan.Have{}))
}

// What is there and declared needs no change.
func TestNothingToDo(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l, images := drawLandscape(t, "want")
		p := plan.Compute(l, images, existing(l, images))
		if !p.Empty() {
			t.Fatalf("changes for the unchanged: %v", p.Changes)
		}
		inside := len(l.Databases) + len(l.Services) + len(l.Ingresses)
		if want := len(l.Environments) * (1 + inside); p.Unchanged != want {
			t.Fatalf("%d unchanged, want %d", p.Unchanged, want)
		}
	})
}

// Carrying a plan out makes what is there what is declared.
func TestConverges(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		before, oldImages := drawLandscape(t, "have")
		l, images := drawLandscape(t, "want")
		have := existing(before, oldImages)
		p := plan.Compute(l, images, have)
		after := carriedOut(l, images, have, p)
		if again := plan.Compute(l, images, after); !again.Empty() {
			t.Fatalf("after %v\nthere is still to do %v", p.Changes, again.Changes)
		}
		for _, c := range p.Changes {
			if c.Reason == "" {
				t.Fatalf("a change without reason: %+v", c)
			}
		}
	})
}

// What loses data, or traffic of a protected environment, says so.
func TestProtection(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		before, oldImages := drawLandscape(t, "have")
		l, images := drawLandscape(t, "want")
		for _, c := range plan.Compute(l, images, existing(before, oldImages)).Changes {
			old, _ := before.Environment(c.Environment)
			now, _ := l.Environment(c.Environment)
			loses := c.Action == plan.Remove || c.Action == plan.Replace
			if want := loses && (old.Protected || now.Protected || c.Kind == plan.Database); c.Protected != want {
				t.Fatalf("protected is %v, want %v: %+v", c.Protected, want, c)
			}
		}
	})
}

// A database that is there is as declared, or lost with approval, or kept: none
// is forgotten, and none is lost while its environment stays.
func TestDatabasesStay(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		before, oldImages := drawLandscape(t, "have")
		l, images := drawLandscape(t, "want")
		p := plan.Compute(l, images, existing(before, oldImages))
		for _, old := range before.Environments {
			now, stays := l.Environment(old.Name)
			stays = stays && now.Network == old.Network
			for _, d := range before.Databases {
				_, declared := l.Database(d.Name)
				lost := slices.ContainsFunc(p.Changes, func(c plan.Change) bool {
					return c.Kind == plan.Database && c.Environment == old.Name && c.Name == d.Name && c.Protected
				})
				kept := slices.ContainsFunc(p.Kept, func(k plan.Kept) bool { return k.Environment == old.Name && k.Name == d.Name })
				if lost == stays || kept != (stays && !declared) {
					t.Fatalf("database %s of %s: environment stays %v, declared %v, and yet lost %v, kept %v", d.Name, old.Name, stays, declared, lost, kept)
				}
			}
		}
	})
}

// The order is fixed, and so is the plan, whatever the order of the observation.
func TestOrder(t *testing.T) {
	t.Parallel()
	rank := map[plan.Kind]int{plan.Environment: 0, plan.Database: 1, plan.Service: 2, plan.Ingress: 3}
	rapid.Check(t, func(t *rapid.T) {
		before, oldImages := drawLandscape(t, "have")
		l, images := drawLandscape(t, "want")
		have := existing(before, oldImages)
		p := plan.Compute(l, images, have)
		have.Environments = rapid.Permutation(have.Environments).Draw(t, "observation")
		for i := range have.Environments {
			have.Environments[i].Fleets = rapid.Permutation(have.Environments[i].Fleets).Draw(t, "fleets")
			have.Environments[i].Databases = rapid.Permutation(have.Environments[i].Databases).Draw(t, "databases")
		}
		if again := plan.Compute(l, images, have); !reflect.DeepEqual(p, again) {
			t.Fatalf("the plan depends on the order of the observation:\n%v\n%v", p, again)
		}
		last, place := -1, map[string]int{}
		for i, c := range p.Changes {
			r := rank[c.Kind]
			if c.Action == plan.Remove {
				r = 10 - r
			}
			if r < last {
				t.Fatalf("%+v comes too late", c)
			}
			last = r
			if c.Kind == plan.Service && c.Action != plan.Remove {
				place[c.Environment+" "+c.Name] = i
			}
		}
		for _, s := range l.Services {
			for _, need := range s.Needs {
				for _, e := range l.Environments {
					mine, ok := place[e.Name+" "+s.Name]
					theirs, okToo := place[e.Name+" "+need.Name]
					if ok && okToo && mine < theirs {
						t.Fatalf("%s comes before %s, which it needs", s.Name, need.Name)
					}
				}
			}
		}
	})
}

func TestServiceReasons(t *testing.T) {
	t.Parallel()
	base := func() (*landscape.Landscape, map[string]string) {
		return &landscape.Landscape{
			Environments: []landscape.Environment{{Name: "e", Network: netip.MustParsePrefix("10.1.0.0/16")}},
			Services: []landscape.Service{{Name: "s", Port: 80, Scale: landscape.Scale{Min: 2, Max: 4},
				Env: map[string]landscape.Value{"A": landscape.Literal("hunter2"), "B": landscape.Literal("b")}}},
		}, map[string]string{"s": "sha256:0123456789abcdef"}
	}
	for name, c := range map[string]struct {
		edit func(*landscape.Service, map[string]string)
		want string
	}{
		"nothing":       {func(*landscape.Service, map[string]string) {}, ""},
		"image":         {func(_ *landscape.Service, i map[string]string) { i["s"] = "sha256:new" }, "its image changes"},
		"unknown image": {func(_ *landscape.Service, i map[string]string) { i["s"] = "" }, ""},
		"port":          {func(s *landscape.Service, _ map[string]string) { s.Port = 81 }, "its port changes from 80 to 81"},
		"count":         {func(s *landscape.Service, _ map[string]string) { s.Scale.Min = 3 }, "its instances change from 2 to 3"},
		"health":        {func(s *landscape.Service, _ map[string]string) { s.Health.Path = "/up" }, "its health check changes"},
		"env": {func(s *landscape.Service, _ map[string]string) {
			s.Env = map[string]landscape.Value{"A": landscape.Literal("secret"), "C": landscape.Literal("c")}
		}, "its env changes: ~A, -B, +C"},
		"port and image": {func(s *landscape.Service, i map[string]string) { s.Port, i["s"] = 81, "x" }, "its image changes; its port changes from 80 to 81"},
	} {
		l, images := base()
		have := existing(l, images)
		c.edit(&l.Services[0], images)
		p := plan.Compute(l, images, have)
		got := ""
		if len(p.Changes) > 0 {
			got = p.Changes[0].Reason
		}
		if got != c.want || len(p.Changes) > 1 {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
		encoded, _ := json.Marshal(p)
		if strings.Contains(string(encoded), "hunter2") {
			t.Errorf("%s: a value of env is in the plan", name)
		}
	}
}

func TestLive(t *testing.T) {
	t.Parallel()
	releases := []fleet.Release{{Number: 1}, {Number: 2}, {Number: 3}}
	for _, c := range []struct {
		weights fleet.Weights
		want    int
		ok      bool
	}{
		{nil, 0, false},
		{fleet.Weights{1: 0}, 0, false},
		{fleet.Weights{1: 9, 2: 1}, 1, true},
		{fleet.Weights{1: 5, 3: 5}, 3, true},
		{fleet.Weights{7: 5}, 0, false},
	} {
		live, ok := plan.Live(fleet.Fleet{Releases: releases, Weights: c.weights})
		if live.Number != c.want || ok != c.ok {
			t.Errorf("%v: got %d, %v", c.weights, live.Number, ok)
		}
	}
}

func TestFormat(t *testing.T) {
	t.Parallel()
	l := &landscape.Landscape{
		Environments: []landscape.Environment{{Name: "production", Network: netip.MustParsePrefix("10.30.0.0/16"), Protected: true}},
		Databases:    []landscape.Database{{Name: "till", Engine: "postgres"}},
		Services: []landscape.Service{{Name: "till", Port: 8080, Scale: landscape.Scale{Min: 2}, Needs: []landscape.Ref{{Kind: "service", Name: "menu"}}},
			{Name: "menu", Port: 8081, Scale: landscape.Scale{Min: 2}}},
		Ingresses: []landscape.Ingress{{Name: "till", Host: "till.example", Service: "till"}},
	}
	have := plan.Have{Environments: []plan.HaveEnvironment{{
		Name: "production", Network: netip.MustParsePrefix("10.30.0.0/16"), Databases: []string{"old\x1b[2J"},
		Fleets: []fleet.Fleet{{Service: "menu", Weights: fleet.Weights{1: 1}, Releases: []fleet.Release{{Number: 1, Image: "sha256:0123456789abcdef", Port: 8081, Count: 1}}}},
	}}}
	var b strings.Builder
	p := plan.Compute(l, map[string]string{"menu": "sha256:0123456789abcdef"}, have)
	if err := p.Format(&b, false); err != nil {
		t.Fatal(err)
	}
	want := `+ database till in production
    declared, and not there
    + postgres
~ service menu in production
    its instances change from 1 to 2
    - release 1, sha256:0123456789ab, 1 instances on port 8081
    + sha256:0123456789ab, 2 instances on port 8081
+ service till in production
    declared, and not there
    + image not built yet, 2 instances on port 8080
+ ingress till in production
    declared, and not there
    + till.example -> till
= database old�[2J in production
    no longer declared; it is kept, for its data would be lost: it ends only with its environment, and is used again when it is declared again
3 to create, 1 to update, 0 to replace, 0 to remove; 1 as declared; 1 kept
`
	if b.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", b.String(), want)
	}
	encoded, err := json.Marshal(plan.Compute(&landscape.Landscape{}, nil, plan.Have{}))
	if want := `{"changes":[],"unchanged":0}`; err != nil || string(encoded) != want {
		t.Errorf("the empty plan is %s, %v", encoded, err)
	}
}
