package aws

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"godwit/internal/fleet"
	"godwit/internal/landscape"
	"godwit/internal/site"
	"godwit/internal/site/aws/convention"
)

func ref(kind, name, attr string) landscape.Part {
	return landscape.Part{Ref: &landscape.AttrRef{Kind: kind, Name: name, Attr: attr}}
}

func value(parts ...landscape.Part) landscape.Value { return landscape.Value{Parts: parts} }

func TestUserData(t *testing.T) {
	t.Parallel()
	l := &landscape.Landscape{Name: "bistro", Services: []landscape.Service{{Name: "till", Port: 8080}, {Name: "menu", Port: 8081}},
		Databases: []landscape.Database{{Name: "till"}}}
	scope := convention.Scope{Landscape: "bistro", Environment: "test"}
	r := fleet.Release{Environment: "test", Service: "till", Number: 3, Image: "sha256:1", Port: 8080, Count: 2, Env: map[string]landscape.Value{
		"MODE": landscape.Literal("quick"), "MENU_URL": value(ref("service", "menu", "url")),
		"DATABASE_URL": value(ref("database", "till", "url")), "DB_USER": value(ref("database", "till", "user")),
		"TOKEN": value(landscape.Part{Literal: "Bearer "}, ref("env", "TILL_TOKEN", "")), "PORT": landscape.Literal("9"), "EMPTY": landscape.Literal("")}}
	u, err := userData(l, scope, "eu-central-1", convention.Green, r)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]convention.Piece{
		"HOST": {{Text: "0.0.0.0"}}, "PORT": {{Text: "9"}}, "MODE": {{Text: "quick"}}, "EMPTY": nil,
		"MENU_URL":     {{Text: "http://menu.svc.internal:8081"}},
		"DATABASE_URL": {{Secret: "bistro/test/database/till", Key: "url"}},
		"DB_USER":      {{Secret: "bistro/test/database/till", Key: "username"}},
		"TOKEN":        {{Text: "Bearer "}, {Secret: "bistro/test/service/till", Key: "TILL_TOKEN"}},
	}
	if !reflect.DeepEqual(u.Env, want) {
		t.Errorf("env is %+v", u.Env)
	}
	if u.Group != "bistro-test-till-green" || u.Hook != convention.DrainHook || u.LaunchHook != convention.LaunchHook || u.LogGroup != "/bistro/test/till" || u.Port != 8080 {
		t.Errorf("%+v", u)
	}
	raw, err := u.Encode()
	if err != nil {
		t.Fatal(err)
	}
	back, err := convention.DecodeUserData(raw)
	if err != nil || !reflect.DeepEqual(back.Release.Env["TOKEN"], r.Env["TOKEN"]) {
		t.Errorf("read back %+v, %v", back, err)
	}
	if u.Version() != 1 || !strings.Contains(string(raw), `"godwit":1`) {
		t.Errorf("a machine image from before could not read %s", raw)
	}
	r.SecretVersion = "v7"
	named, err := userData(l, scope, "eu-central-1", convention.Green, r)
	want["TOKEN"][1].Version = "v7"
	if err != nil || named.Version() != 2 || !reflect.DeepEqual(named.Env, want) {
		t.Errorf("with values of its own %+v, %v", named.Env, err)
	}
	for _, bad := range []landscape.Part{ref("database", "stock", "url"), ref("database", "till", "colour"), ref("service", "bar", "url"), ref("source", "x", "url")} {
		r.Env = map[string]landscape.Value{"X": value(bad)}
		if _, err := userData(l, scope, "eu-central-1", convention.Blue, r); !errors.Is(err, site.ErrInvalid) || !strings.Contains(err.Error(), "variable X") {
			t.Errorf("%v: %v", bad.Ref, err)
		}
	}
}
