package tofu

import (
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"godwit/internal/landscape"
	"godwit/internal/site/aws/terraform"
	"godwit/internal/site/aws/terraform/tofutest"
)

// TestBistro is the reference landscape from nothing to nothing: states in the
// emulator's bucket, resources in the world of the schema provider.
func TestBistro(t *testing.T) {
	t.Parallel()
	w := tofutest.New(t, bistro(t))
	c := worldly(t, w)
	account, test := Root{w.Dir, AccountRoot}, Root{w.Dir, EnvironmentRoot("test")}

	s := mustPlan(t, c.Driver, account, PlanOptions{})
	if s.Place != localPlace || len(s.Summary.Create) < 20 || len(Guard(s.Summary, Stakes{Protected: true})) != 0 {
		t.Errorf("the account: %s, %d to create, %v", s.Place, len(s.Summary.Create), Guard(s.Summary, Stakes{Protected: true}))
	}
	c.Progress = func(e Event) {
		if e.Kind == Done && strings.HasSuffix(e.Address, "aws_s3_bucket.state") {
			c.makeBucket(t)
		}
	}
	if _, err := c.Apply(t.Context(), s, ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	c.Progress = nil
	mustBeEmpty(t, c.Driver, account)

	s = mustPlan(t, c.Driver, test, PlanOptions{})
	moving := Stakes{Migration: "datacenter", Hosts: []string{"test.till.bistro.example"}}
	if reasons := Guard(s.Summary, moving); len(reasons) != 2 || !strings.Contains(reasons[0].Why, "turns the clients of test.till.bistro.example to AWS") ||
		len(Guard(s.Summary, Stakes{})) != 0 || s.Summary.Protected {
		t.Errorf("names that turn clients: %v of %v", reasons, s.Summary.Names)
	}
	result, err := c.Apply(t.Context(), s, ApplyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d resources made in %v", len(result.Outcome.Done), result.Elapsed)
	drift(t, c, w, test)

	s = mustPlan(t, c.Driver, test, PlanOptions{Destroy: true})
	for _, protected := range []bool{true, false} {
		reasons := Guard(s.Summary, Stakes{Protected: protected})
		if !slices.ContainsFunc(reasons, func(r Reason) bool { return strings.Contains(r.Address, "aws_db_instance") }) {
			t.Errorf("the end of the databases needs no approval: %v", reasons)
		}
	}
	if _, err := c.Apply(t.Context(), s, ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	if s = mustPlan(t, c.Driver, test, PlanOptions{}); len(s.Summary.Create) != len(result.Outcome.Done) || len(s.Summary.Drift) != 0 {
		t.Errorf("after the end %d are to be made of %d", len(s.Summary.Create), len(result.Outcome.Done))
	}
}

// drift, right after an apply: what a rollout or a scaling changes is left, and
// nothing else is to be done; what somebody changed by hand, or removed, is shown
// and mended.
func drift(t *testing.T, c *cloud, w *tofutest.Workspace, r Root) {
	t.Helper()
	set := func(kind, name string, value any) {
		t.Helper()
		w.Alter(func(all tofutest.World) {
			found := all.Of(kind)
			if len(found) == 0 {
				t.Fatalf("no %s", kind)
			}
			for _, one := range found {
				one.State[name] = value
			}
		})
	}
	set("aws_autoscaling_group", "desired_capacity", 3)
	s := mustPlan(t, c.Driver, r, PlanOptions{}).Summary
	if !s.Empty || len(s.Drift) == 0 || slices.ContainsFunc(s.Drift, func(d Change) bool { return !d.Kept }) {
		t.Errorf("after a scaling: %s", asJSON(t, s))
	}
	set("aws_db_instance", "backup_retention_period", 0)
	set("aws_db_instance", "deletion_protection", true)
	if _, err := c.Plan(t.Context(), r, PlanOptions{Destroy: true}); !errors.Is(err, ErrProtected) || !strings.Contains(err.Error(), "environments/test: it is protected on AWS still") {
		t.Errorf("the end of what is protected still: %v", err)
	}
	removed := 0
	w.Alter(func(all tofutest.World) {
		for key, one := range all {
			name, _ := one.State["alarm_name"].(string)
			if one.Type == "aws_cloudwatch_metric_alarm" && !strings.Contains(name, "-account-") && removed == 0 {
				delete(all, key)
				removed++
			}
		}
	})
	saved := mustPlan(t, c.Driver, r, PlanOptions{})
	s = saved.Summary
	mended := slices.DeleteFunc(slices.Clone(s.Drift), func(d Change) bool { return d.Kept })
	if len(s.Update) != 2 || len(s.Create) != 1 || len(mended) != 3 {
		t.Errorf("after changes by hand: %s", asJSON(t, s))
	}
	if reasons := Guard(s, Stakes{}); !s.Protected || len(reasons) != 2 || reasons[0].Why != "its protection from deletion ends" {
		t.Errorf("what is protected there needs no approval: %v", reasons)
	}
	if i := slices.IndexFunc(mended, func(d Change) bool { return d.Type == "aws_db_instance" }); i < 0 ||
		!slices.ContainsFunc(mended[i].Fields, func(f Field) bool { return f.Path == "backup_retention_period" && f.After == "0" }) {
		t.Errorf("what was changed is not said: %s", asJSON(t, mended))
	}
	if s := mustPlan(t, c.Driver, r, PlanOptions{RefreshOnly: true, Out: r.file(private + "/drift")}).Summary; len(s.Drift) < 3 || len(s.Changes()) != 0 {
		t.Errorf("drift alone: %s", asJSON(t, s))
	}
	if _, err := c.Apply(t.Context(), saved, ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	mustBeEmpty(t, c.Driver, r)
}

// worldly is a cloud for the roots of a workspace: states in the emulator's bucket,
// resources in the world of the schema provider.
func worldly(t *testing.T, w *tofutest.Workspace) *cloud {
	t.Helper()
	c := newCloud(t)
	env := maps.Clone(c.Env)
	for _, pair := range w.Environ() {
		name, value, _ := strings.Cut(pair, "=")
		env[name] = value
	}
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} {
		env[name] = "test"
	}
	env["GOGC"] = "300" // collecting garbage is a quarter of what the program does in its seconds
	c.Env = env
	return c
}

func bistro(t *testing.T) terraform.Tree {
	t.Helper()
	content, err := os.ReadFile("../../../../examples/bistro/landscape.hcl")
	if err != nil {
		t.Fatal(err)
	}
	return treeOf(t, content)
}

func treeOf(t *testing.T, content []byte) terraform.Tree {
	t.Helper()
	l, findings := landscape.Parse([]landscape.File{{Name: "landscape.hcl", Bytes: content}})
	if l == nil {
		t.Fatal(findings)
	}
	tree, err := terraform.Render(l)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}
