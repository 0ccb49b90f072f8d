package policy_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"godwit/internal/landscape"
	"godwit/internal/site/aws/policy"
	"godwit/internal/site/aws/terraform"
	"godwit/internal/site/aws/terraform/tofutest"
)

// made are the resources of a root of the bistro as OpenTofu made them.
func made(t *testing.T, l *landscape.Landscape, root string) []policy.Resource {
	t.Helper()
	tree, err := terraform.Render(l)
	if err != nil {
		t.Fatal(err)
	}
	w := tofutest.New(t, tree)
	w.Init(root)
	w.Apply(root, map[string]string{
		"developer_principals": `["arn:aws:iam::123456789012:role/people"]`,
		"admin_principals":     `["arn:aws:iam::123456789012:role/people"]`,
	})
	return policy.FromState(w.State(root))
}

func bistro(t *testing.T) *landscape.Landscape {
	t.Helper()
	content, err := os.ReadFile("../../../../examples/bistro/landscape.hcl")
	if err != nil {
		t.Fatal(err)
	}
	l, findings := landscape.Parse([]landscape.File{{Name: "landscape.hcl", Bytes: content}})
	if l == nil {
		t.Fatal(findings)
	}
	return l
}

func TestBistroBreaksNoRule(t *testing.T) {
	t.Parallel()
	l := bistro(t)
	for _, e := range l.Environments {
		t.Run(e.Name, func(t *testing.T) {
			t.Parallel()
			resources := made(t, l, "environments/"+e.Name)
			for _, v := range policy.Check(resources, policy.Expect{Protected: e.Protected}) {
				t.Errorf("%s: %s %s; %s", v.Rule, v.Address, v.Why, v.Mend)
			}
			reaches(t, l, resources)
		})
	}
}

// reaches compares who reaches whom, computed from the resources, with what the
// landscape declares: nobody more, nobody less.
func reaches(t *testing.T, l *landscape.Landscape, resources []policy.Resource) {
	t.Helper()
	ways, err := policy.Reach(resources)
	if err != nil {
		t.Fatal(err)
	}
	var got, want []string
	for _, w := range ways {
		if w.To.Kind == "endpoint" && w.From.Kind == "service" && w.Port == 443 {
			continue // AWS itself, for secrets, logs and metrics
		}
		if w.From.Kind == "balancer" && w.To.Kind == "service" {
			continue // one hop of what is counted from end to end
		}
		got = append(got, w.String())
	}
	for _, e := range landscape.Edges(l) {
		from := policy.Node{Kind: e.From.Kind, Name: e.From.Name}
		if e.From == landscape.Gateway {
			from = policy.Node{Kind: "internet"}
		}
		want = append(want, policy.Way{From: from, To: policy.Node{Kind: e.To.Kind, Name: e.To.Name}, Port: e.Port}.String())
	}
	slices.Sort(got)
	slices.Sort(want)
	got = slices.Compact(got)
	if !slices.Equal(got, want) {
		t.Errorf("reachable:\n  %s\ndeclared:\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
	t.Log(fmt.Sprintf("%d resources, %d ways, as declared", len(resources), len(got)))
}
