package landscape_test

import (
	"os"
	"reflect"
	"testing"

	"godwit/internal/landscape"
)

func bistro(t *testing.T) *landscape.Landscape {
	t.Helper()
	source, err := os.ReadFile("testdata/parse/bistro.hcl")
	if err != nil {
		t.Fatal(err)
	}
	l, found := landscape.Parse([]landscape.File{{Name: "bistro.hcl", Bytes: source}})
	if l == nil {
		t.Fatal(found)
	}
	return l
}

func TestEdges(t *testing.T) {
	t.Parallel()
	till, menu := landscape.Node{Kind: "service", Name: "till"}, landscape.Node{Kind: "service", Name: "menu"}
	want := []landscape.Edge{
		{From: landscape.Gateway, To: till, Port: 8080},
		{From: till, To: landscape.Node{Kind: "database", Name: "till"}, Port: 5432},
		{From: till, To: menu, Port: 8081},
		{From: menu, To: landscape.Node{Kind: "database", Name: "menu"}, Port: 5432},
	}
	if got := landscape.Edges(bistro(t)); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestIngressHost(t *testing.T) {
	t.Parallel()
	e := func(name string, protected bool) landscape.Environment {
		return landscape.Environment{Name: name, Protected: protected}
	}
	for name, c := range map[string]struct {
		environments []landscape.Environment
		migrations   []landscape.Migration
		want         string
	}{
		"none":               {nil, nil, ""},
		"migration":          {[]landscape.Environment{e("production", true), e("stage", false)}, []landscape.Migration{{Environment: "stage"}}, "stage"},
		"production":         {[]landscape.Environment{e("production", false), e("stage", true)}, nil, "production"},
		"only protected":     {[]landscape.Environment{e("live", true), e("stage", false)}, nil, "live"},
		"several protected":  {[]landscape.Environment{e("live", true), e("stage", true), e("x", false)}, nil, "x"},
		"nothing to tell by": {[]landscape.Environment{e("a", false), e("b", false)}, nil, "b"},
	} {
		l := &landscape.Landscape{Environments: c.environments, Migrations: c.migrations}
		if got := landscape.MainEnvironment(l); got != c.want {
			t.Errorf("%s: main is %q, want %q", name, got, c.want)
		}
		for _, env := range c.environments {
			want := env.Name + ".h.example"
			if env.Name == c.want {
				want = "h.example"
			}
			if got := landscape.IngressHost(l, landscape.Ingress{Host: "h.example"}, env.Name); got != want {
				t.Errorf("%s: host in %s is %q, want %q", name, env.Name, got, want)
			}
		}
	}
}

func TestAttr(t *testing.T) {
	t.Parallel()
	l := bistro(t)
	for ref, want := range map[landscape.AttrRef]string{
		{Kind: "service", Name: "menu", Attr: "url"}:   "http://menu.svc.internal:8081",
		{Kind: "service", Name: "menu", Attr: "host"}:  "menu.svc.internal",
		{Kind: "service", Name: "menu", Attr: "port"}:  "8081",
		{Kind: "database", Name: "till", Attr: "host"}: "till.db.internal",
		{Kind: "database", Name: "till", Attr: "port"}: "5432",
		{Kind: "database", Name: "till", Attr: "url"}:  "",
		{Kind: "env", Name: "X"}:                       "",
	} {
		if got, ok := l.Attr(ref); got != want || ok != (want != "") {
			t.Errorf("%s is %q, %v, want %q", ref, got, ok, want)
		}
	}
	if _, ok := l.Attr(landscape.AttrRef{Kind: "service", Name: "none", Attr: "url"}); ok {
		t.Error("an attribute of nothing")
	}
}
