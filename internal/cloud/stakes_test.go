package cloud_test

import (
	"strings"
	"testing"

	"godwit/internal/api"
	"godwit/internal/landscape"
	"godwit/internal/site/aws"
	"godwit/internal/site/aws/tofu"
)

// TestReasonsOfNames: names that turn clients want approval where a migration is
// to turn them, and nowhere else.
func TestReasonsOfNames(t *testing.T) {
	t.Parallel()
	l := bistro()
	l.Environments = append(l.Environments, landscape.Environment{Name: "production", Protected: true})
	l.Migrations = []landscape.Migration{{Name: "datacenter", Environment: "production"}}
	c := openAll(t, l, aws.Clients{}, api.Sink{})
	reasons := func(environment, host string) []tofu.Reason {
		return c.Reasons(tofu.Saved{Root: tofu.Root{Name: tofu.EnvironmentRoot(environment)}, Summary: tofu.Summary{Names: []tofu.Name{{Address: "a.b", Host: host}}}})
	}
	if got := reasons("production", "till.bistro.example"); len(got) != 1 || got[0].Address != "a.b" || !strings.Contains(got[0].Why, `migration "datacenter"`) {
		t.Errorf("the target of the migration: %v", got)
	}
	if got := reasons("production", "menu.svc.internal"); len(got) != 0 {
		t.Errorf("a name inside: %v", got)
	}
	if got := reasons("test", "test.till.bistro.example"); len(got) != 0 {
		t.Errorf("another environment: %v", got)
	}
	l.Migrations = nil
	if got := reasons("production", "till.bistro.example"); len(got) != 0 {
		t.Errorf("after the migration: %v", got)
	}
}
