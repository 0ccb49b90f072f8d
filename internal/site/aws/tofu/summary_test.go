package tofu

import (
	"strings"
	"testing"

	tfjson "github.com/hashicorp/terraform-json"
)

// TestWhatBecomesOfResources: one of each kind of change, planned by the program,
// and the same text from the plan that was saved.
func TestWhatBecomesOfResources(t *testing.T) {
	t.Parallel()
	d, r := plain(t), account(t, `
resource "terraform_data" "old" {}
resource "terraform_data" "left" {}
resource "terraform_data" "gone" {}
resource "terraform_data" "anew" { triggers_replace = { size = "small", zone = "a" } }
resource "terraform_data" "rule" {
  input = { rules = [{ name = "rate", limit = 3000 }, { name = "geo", limit = 1 }], password = "x" }
}
`)
	mustApply(t, d, r)
	rewrite(t, r.file("main.tf"), `
moved {
  from = terraform_data.old
  to   = terraform_data.young
}
resource "terraform_data" "young" {}
removed {
  from = terraform_data.left
  lifecycle { destroy = false }
}
import {
  to = terraform_data.found
  id = "found-1"
}
resource "terraform_data" "found" {}
resource "terraform_data" "made" {}
resource "terraform_data" "anew" { triggers_replace = { size = "large", zone = "a" } }
resource "terraform_data" "rule" {
  input = { rules = [{ name = "rate", limit = 5000 }, { name = "geo", limit = 1 }], password = "y" }
}
`)
	s := mustPlan(t, d, r, PlanOptions{})
	const want = `  + terraform_data.made
  ~ terraform_data.rule
      ~ input.password: (sensitive) -> (sensitive)
      ~ input.rules["rate"].limit: 3000 -> 5000
      ~ output: (sensitive) -> (known after apply)
  ± terraform_data.anew  (it cannot be changed in place: triggers_replace)
      ~ triggers_replace.size: "small" -> "large"  (forces the replacement)
  - terraform_data.gone  (it is no longer declared)
  < terraform_data.found  (it is imported as found-1)
  o terraform_data.left  (it stays, and Terraform forgets it)
  > terraform_data.young  (it was terraform_data.old)
account: 1 to create, 1 to update, 1 to replace, 1 to destroy, 1 to forget, 1 to import, 1 to move.
`
	if got := formatted(t, s.Summary, false); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	saved, err := Load(r, "")
	if err != nil {
		t.Fatal(err)
	}
	if got := formatted(t, saved.Summary, false); got != want {
		t.Errorf("the saved plan says\n%s\nwant\n%s", got, want)
	}
}

func formatted(t *testing.T, s Summary, color bool) string {
	t.Helper()
	var b strings.Builder
	if err := s.Format(&b, color); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestFormat(t *testing.T) {
	t.Parallel()
	drift := Change{Address: "a.b", Action: Update, Kept: true, Why: "this plan leaves it", Fields: []Field{{Path: "c", Before: "1", After: "2"}}}
	for name, c := range map[string]struct {
		summary Summary
		color   bool
		want    string
	}{
		"nothing": {Summary{Root: "account", Empty: true}, false, "account: nothing to do.\n"},
		"drift alone": {Summary{Root: "account", Drift: []Change{drift}}, false,
			"Changed outside since the last apply:\n  ~ a.b  (this plan leaves it)\n      ~ c: 1 -> 2\n\naccount: nothing to change; 1 changed outside.\n"},
		"outputs alone": {Summary{Root: "account", Outputs: []string{"x", "y"}}, false,
			"  outputs: x, y\naccount: 0 to create, 0 to update, 0 to replace, 0 to destroy.\n"},
		"colours": {Summary{Root: "account", Replace: []Change{{Address: "a.b", Action: Replace, Fields: []Field{{Path: "c", After: "2", Forces: true}}}}}, true,
			"  \x1b[31m± a.b\x1b[0m\n      \x1b[32m+\x1b[0m c: 2  \x1b[31m(forces the replacement)\x1b[0m\naccount: 0 to create, 0 to update, 1 to replace, 0 to destroy.\n"},
	} {
		if got := formatted(t, c.summary, c.color); got != c.want {
			t.Errorf("%s:\n%q\nwant\n%q", name, got, c.want)
		}
	}
}

// TestComputed: what the provider makes anew with every replacement is not said,
// unless the configuration gives it.
func TestComputed(t *testing.T) {
	t.Parallel()
	config := &tfjson.Config{RootModule: &tfjson.ConfigModule{ModuleCalls: map[string]*tfjson.ModuleCall{"a": {Module: &tfjson.ConfigModule{
		ModuleCalls: map[string]*tfjson.ModuleCall{"module": {Module: &tfjson.ConfigModule{Resources: []*tfjson.ConfigResource{
			{Mode: tfjson.ManagedResourceMode, Type: "aws_lb", Name: "this", Expressions: map[string]*tfjson.Expression{"vpc": nil}}}}}},
	}}}}}
	for name, c := range map[string]struct {
		actions tfjson.Actions
		module  string
		want    string
	}{
		"replaced":       {tfjson.Actions{tfjson.ActionCreate, tfjson.ActionDelete}, `module.a["x.module.b"].module.module[0]`, "subnets vpc"},
		"updated":        {tfjson.Actions{tfjson.ActionUpdate}, "module.a.module.module", "dns subnets vpc"},
		"nothing known":  {tfjson.Actions{tfjson.ActionCreate, tfjson.ActionDelete}, "module.b", "dns empty subnets vpc"},
		"known and both": {tfjson.Actions{tfjson.ActionUpdate}, "module.b", "dns empty subnets vpc"},
	} {
		rc := &tfjson.ResourceChange{Address: "x", Mode: tfjson.ManagedResourceMode, Type: "aws_lb", Name: "this", ModuleAddress: c.module, Change: &tfjson.Change{
			Actions:      c.actions,
			Before:       map[string]any{"arn": "a", "dns": "b", "vpc": "c", "empty": "", "subnets": []any{"d"}},
			After:        map[string]any{},
			AfterUnknown: map[string]any{"arn": true, "dns": true, "vpc": true, "empty": true, "subnets": true}}}
		change, _ := reader{config, nil}.change(rc)
		var paths []string
		for _, f := range change.Fields {
			paths = append(paths, f.Path)
		}
		if got := strings.Join(paths, " "); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
