package landscape_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"godwit/internal/landscape"
)

func TestValueSurvivesJSON(t *testing.T) {
	t.Parallel()
	literal := rapid.StringOf(rapid.OneOf(rapid.SampledFrom([]rune("${}. \"\\a")), rapid.Rune())).Filter(func(s string) bool { return s != "" })
	ref := rapid.SampledFrom([]landscape.AttrRef{{Kind: "env", Name: "X"}, {Kind: "database", Name: "till", Attr: "url"}, {Kind: "service", Name: "a-b", Attr: "port"}})
	rapid.Check(t, func(t *rapid.T) {
		var v landscape.Value
		for _, isRef := range rapid.SliceOfN(rapid.Bool(), 0, 6).Draw(t, "parts") {
			n := len(v.Parts)
			switch {
			case isRef:
				r := ref.Draw(t, "ref")
				v.Parts = append(v.Parts, landscape.Part{Ref: &r})
			case n == 0 || v.Parts[n-1].Ref != nil:
				v.Parts = append(v.Parts, landscape.Part{Literal: literal.Draw(t, "literal")})
			}
		}
		encoded, err := json.Marshal(map[string]landscape.Value{"v": v})
		if err != nil {
			t.Fatal(err)
		}
		var back map[string]landscape.Value
		if err := json.Unmarshal(encoded, &back); err != nil {
			t.Fatalf("%s: %v", encoded, err)
		}
		if !reflect.DeepEqual(back["v"], v) {
			t.Fatalf("%s became %#v", encoded, back["v"])
		}
	})
}

func TestValueRefusesNonsense(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"$", "${", "${}", "${a}", "${a.b}", "${env.a.b}", "${a.b.c", "x$y"} {
		var v landscape.Value
		if err := v.UnmarshalText([]byte(s)); err == nil {
			t.Errorf("%q was read as %v", s, v)
		}
	}
}

func TestValueResolve(t *testing.T) {
	t.Parallel()
	var v landscape.Value
	if err := v.UnmarshalText([]byte("a$$${env.X}/${service.s.url}")); err != nil {
		t.Fatal(err)
	}
	got, err := v.Resolve(func(r landscape.AttrRef) (string, error) { return "<" + r.Name + ">", nil })
	if want := "a$<X>/<s>"; got != want || err != nil {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	missing := errors.New("not set")
	if _, err = v.Resolve(func(landscape.AttrRef) (string, error) { return "", missing }); !errors.Is(err, missing) {
		t.Errorf("got %v", err)
	}
	if got, err := landscape.Literal("").Resolve(nil); got != "" || err != nil {
		t.Errorf("the empty literal became %q, %v", got, err)
	}
}
