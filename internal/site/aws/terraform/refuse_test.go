package terraform_test

import (
	"errors"
	"strings"
	"testing"

	"godwit/internal/landscape"
	"godwit/internal/site/aws/terraform"
)

// TestRefused: what cannot be on AWS is said before anything is rendered.
func TestRefused(t *testing.T) {
	t.Parallel()
	peak := func(name, zone string) landscape.Peak {
		return landscape.Peak{Name: name, Timezone: zone, From: landscape.TimeOfDay{Hour: 1}, Until: landscape.TimeOfDay{Hour: 2}, Min: 2}
	}
	for name, c := range map[string]struct {
		change func(*landscape.Landscape)
		says   []string
	}{
		"nothing said of AWS":             {func(l *landscape.Landscape) { l.AWS = nil }, []string{"no block aws"}},
		"the account's name":              {func(l *landscape.Landscape) { l.Environments[0].Name = "account" }, []string{"environment account", "call it something else"}},
		"the audit's name":                {func(l *landscape.Landscape) { l.Environments[0].Name = "audit" }, []string{"environment audit", "bistro-audit", "call it something else"}},
		"a role of people":                {func(l *landscape.Landscape) { l.Services[0].Name = "admin" }, []string{"service admin", "IAM knows each name once"}},
		"the trail's name":                {func(l *landscape.Landscape) { l.Environments[0].Name = "trail-2" }, []string{"environment trail-2", "bistro-trail"}},
		"an environment with two hyphens": {func(l *landscape.Landscape) { l.Environments[0].Name = "a--b" }, []string{"environment a--b", "RDS takes no two hyphens"}},
		"a landscape with two":            {func(l *landscape.Landscape) { l.Name = "a--b" }, []string{"landscape a--b", "RDS takes no two hyphens"}},
		"a name that AWS keeps": {func(l *landscape.Landscape) { l.Name = "internal-tools" },
			[]string{"landscape internal-tools", `"internal"-`}},
		"a database that RDS refuses":            {func(l *landscape.Landscape) { l.Databases[0].Name = "a--b" }, []string{"database a--b"}},
		"a database by the administrator's name": {func(l *landscape.Landscape) { l.Databases[0].Name = "godwit" }, []string{"database godwit", "a role of that name"}},
		"a database by a name of RDS's":          {func(l *landscape.Landscape) { l.Databases[0].Name = "rdsadmin" }, []string{"database rdsadmin"}},
		"names that fall together": {func(l *landscape.Landscape) {
			l.Environments[0].Name, l.Environments[1].Name = "test", "test-a"
			l.Services[0].Name, l.Services[1].Name = "a-b", "b"
			l.Services[0].Needs, l.Services[2].Needs, l.Ingresses = nil, nil, nil
		}, []string{"service b of environment test-a", "service a-b of environment test", "bistro-test-a-b"}},
		"peaks in two time zones": {func(l *landscape.Landscape) {
			l.Services[0].Scale.Peaks = []landscape.Peak{peak("here", "Europe/Berlin"), peak("there", "Asia/Tokyo")}
		}, []string{"service till", "here", "there", "Asia/Tokyo"}},
		"rules that fall together": {func(l *landscape.Landscape) {
			l.Services[1].Name, l.Services[2].Name = "b-to-endpoints", "till-to-internal-b"
			l.Services[0].Needs = []landscape.Ref{{Kind: "service", Name: "b-to-endpoints"}}
			l.Ingresses = nil
		}, []string{"edges.tf twice", "rename"}},
		"a name too long for buckets": {func(l *landscape.Landscape) { l.Name = strings.Repeat("l", 40) }, []string{"buckets", "characters too long"}},
		"code in a name":              {func(l *landscape.Landscape) { l.Services[0].Name = `x" {}` }, []string{"is no name"}},
		"code in a need":              {func(l *landscape.Landscape) { l.Services[0].Needs[0].Name = "x.y" }, []string{"is no name"}},
		"a landscape's new line":      {func(l *landscape.Landscape) { l.Name = "a\nb" }, []string{"is no name"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := parse(t, bistro)
			c.change(l)
			tree, err := terraform.Render(l)
			if err == nil || tree != nil {
				t.Fatalf("rendered %d files, error %v", len(tree), err)
			}
			for _, s := range c.says {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("%q does not say %q", err, s)
				}
			}
		})
	}
	l := parse(t, bistro)
	l.AWS = nil
	if _, err := terraform.Render(l); !errors.Is(err, terraform.ErrNoAWS) {
		t.Errorf("got %v", err)
	}
}
