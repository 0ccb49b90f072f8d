package plan_test

import (
	"encoding/json"
	"net/netip"
	"testing"

	"godwit/internal/fleet"
	"godwit/internal/landscape"
	"godwit/internal/plan"
)

// TestOtherValuesAreAnotherRelease: what env.NAME gave is told by the version of
// its secret, where a site keeps it in one.
func TestOtherValuesAreAnotherRelease(t *testing.T) {
	t.Parallel()
	have := fleet.Release{Environment: "test", Service: "till", Number: 7, Image: "sha256:one", Port: 80, Count: 1, SecretVersion: "one"}
	for version, same := range map[string]bool{"one": true, "two": false, "": false} {
		want := have
		want.Number, want.SecretVersion = 0, version
		if plan.Same(want, have) != same {
			t.Errorf("version %q: the same is %v", version, !same)
		}
	}
	// A landscape alone does not say which version is wanted.
	e := landscape.Environment{Name: "test", Network: netip.MustParsePrefix("10.1.0.0/16")}
	l := &landscape.Landscape{Environments: []landscape.Environment{e}, Services: []landscape.Service{{Name: "till", Port: 80, Scale: landscape.Scale{Min: 1}}}}
	p := plan.Compute(l, map[string]string{"till": "sha256:one"}, plan.Have{Environments: []plan.HaveEnvironment{{Name: e.Name, Network: e.Network,
		Fleets: []fleet.Fleet{{Environment: "test", Service: "till", Releases: []fleet.Release{have}, Weights: fleet.Weights{7: 100}}}}}})
	if len(p.Changes) != 0 {
		t.Errorf("%+v", p.Changes)
	}
}

// TestReleaseWithoutVersion: a journal from before is read, and is written as it was.
func TestReleaseWithoutVersion(t *testing.T) {
	t.Parallel()
	var r fleet.Release
	if err := json.Unmarshal([]byte(`{"service":"till","number":1,"image":"sha256:one"}`), &r); err != nil || r.SecretVersion != "" {
		t.Errorf("%+v, %v", r, err)
	}
	b, err := json.Marshal(r)
	var fields map[string]any
	if err == nil {
		err = json.Unmarshal(b, &fields)
	}
	if _, there := fields["secret_version"]; there || err != nil {
		t.Errorf("%s, %v", b, err)
	}
}
