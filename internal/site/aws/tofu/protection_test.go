package tofu

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	tfjson "github.com/hashicorp/terraform-json"

	"godwit/internal/site/aws/terraform"
	"godwit/internal/site/aws/terraform/tofutest"
)

// TestGuardOfMark: what becomes of the mark of protection, in an environment that
// is not declared protected. A rule ends too: that is asked for where the mark says
// that the environment was protected.
func TestGuardOfMark(t *testing.T) {
	t.Parallel()
	const ended = terraform.ProtectionMark + ": the environment is protected no more"
	const rule = "aws_vpc_security_group_ingress_rule.x: it ends, in a protected environment"
	yes, no := map[string]any{"input": true, "output": true}, map[string]any{"input": false, "output": false}
	for name, c := range map[string]struct {
		before, after any
		actions       tfjson.Actions
		want          []string
	}{
		"taken away":          {yes, no, tfjson.Actions{tfjson.ActionUpdate}, []string{ended, rule}},
		"without a value":     {yes, map[string]any{"input": nil}, tfjson.Actions{tfjson.ActionUpdate}, []string{ended, rule}},
		"removed":             {yes, nil, tfjson.Actions{tfjson.ActionDelete}, []string{ended, rule}},
		"forgotten":           {yes, nil, tfjson.Actions{tfjson.ActionForget}, []string{ended, rule}},
		"made anew, as no":    {yes, no, tfjson.Actions{tfjson.ActionDelete, tfjson.ActionCreate}, []string{rule, terraform.ProtectionMark + ": it is replaced, in a protected environment"}},
		"stays":               {yes, yes, tfjson.Actions{tfjson.ActionNoop}, []string{rule}},
		"given":               {no, yes, tfjson.Actions{tfjson.ActionUpdate}, []string{}},
		"first apply, as no":  {nil, no, tfjson.Actions{tfjson.ActionCreate}, []string{}},
		"first apply, as yes": {nil, yes, tfjson.Actions{tfjson.ActionCreate}, []string{}},
		"never was, removed":  {no, nil, tfjson.Actions{tfjson.ActionDelete}, []string{}},
		"never was, stays":    {no, no, tfjson.Actions{tfjson.ActionNoop}, []string{}},
	} {
		mark := &tfjson.ResourceChange{Address: terraform.ProtectionMark, Mode: tfjson.ManagedResourceMode, Type: "terraform_data", Name: "protection",
			Change: &tfjson.Change{Actions: c.actions, Before: c.before, After: c.after}}
		end := changed("aws_vpc_security_group_ingress_rule", map[string]any{"ip_protocol": "tcp"}, nil, tfjson.ActionDelete)
		s := summarise("environments/x", &tfjson.Plan{ResourceChanges: []*tfjson.ResourceChange{mark, end}}, true, false)
		got := whys(Guard(s, Stakes{}))
		slices.Sort(got)
		slices.Sort(c.want)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
	// In a state of before the mark others tell what the environment was.
	made := &tfjson.ResourceChange{Address: terraform.ProtectionMark, Mode: tfjson.ManagedResourceMode, Type: "terraform_data",
		Change: &tfjson.Change{Actions: tfjson.Actions{tfjson.ActionCreate}, After: no}}
	balancer := changed("aws_lb", map[string]any{"enable_deletion_protection": true}, map[string]any{"enable_deletion_protection": false}, tfjson.ActionUpdate)
	before := whys(Guard(summarise("environments/x", &tfjson.Plan{ResourceChanges: []*tfjson.ResourceChange{made, balancer}}, true, false), Stakes{}))
	if !slices.Equal(before, []string{"aws_lb.x: its protection from deletion ends"}) {
		t.Errorf("a state of before the mark: %q", before)
	}
	// Another resource of the kind is none.
	other := changed("terraform_data", yes, no, tfjson.ActionUpdate)
	if got := Guard(summarise("environments/x", &tfjson.Plan{ResourceChanges: []*tfjson.ResourceChange{other}}, true, false), Stakes{}); len(got) != 0 {
		t.Errorf("another value: %v", got)
	}
}

// bare is an environment with nothing that AWS itself protects: no database, load
// balancer, secret or bucket.
func bare(t *testing.T, protected bool) terraform.Tree {
	t.Helper()
	return treeOf(t, fmt.Appendf(nil, `landscape "bistro" {}

environment "live" {
  network   = "10.1.0.0/22"
  protected = %t
}

aws {
  region = "eu-central-1"
  domain = "bistro.example"
}
`, protected))
}

// TestProtectionOfBare: such an environment is made protected, and protected no
// more, by the real program. Only its mark tells.
func TestProtectionOfBare(t *testing.T) {
	t.Parallel()
	w := tofutest.New(t, bare(t, true))
	c := worldly(t, w)
	account, _ := landed(t)
	if err := c.applyAccount(t, account); err != nil {
		t.Fatal(err)
	}
	live := Root{w.Dir, EnvironmentRoot("live")}
	const main = "environments/live/main.tf"
	declare := func(protected bool) { w.Put(main, bare(t, protected)[main]) }

	saved := c.asks(t, live, Stakes{Protected: true})
	if _, err := c.Apply(t.Context(), saved, ApplyOptions{}); err != nil {
		t.Fatal(err)
	}

	const ends = terraform.ProtectionMark + ": the environment is protected no more"
	w.Put(main, without(t, bare(t, true)[main]))
	c.asks(t, live, Stakes{}, ends)
	declare(false)
	saved = c.asks(t, live, Stakes{}, ends)
	if text := formatted(t, saved.Summary, false); !strings.Contains(text, "~ "+terraform.ProtectionMark+"\n      ~ input: true -> false\n") {
		t.Errorf("the plan says\n%s", text)
	}
	if _, err := c.Plan(t.Context(), live, PlanOptions{Destroy: true}); !errors.Is(err, ErrProtected) || !strings.Contains(err.Error(), "run `godwit aws apply --env live`, then destroy it") {
		t.Errorf("the end of what is protected still: %v", err)
	}
	if _, err := c.Apply(t.Context(), saved, ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	declare(true)
	c.asks(t, live, Stakes{Protected: true})
	declare(false)
	if s := mustPlan(t, c.Driver, live, PlanOptions{Destroy: true}).Summary; s.Protected || len(s.Destroy) == 0 {
		t.Errorf("once it is protected no more, its end is %s", asJSON(t, s))
	}
}

// asks plans, and fails unless the plan wants approval for these reasons.
func (c *cloud) asks(t *testing.T, r Root, at Stakes, want ...string) Saved {
	t.Helper()
	s := mustPlan(t, c.Driver, r, PlanOptions{})
	if got := whys(Guard(s.Summary, at)); !slices.Equal(got, want) || s.Summary.Empty {
		t.Errorf("asked for %q, want %q; nothing to do: %v", got, want, s.Summary.Empty)
	}
	return s
}

// without is what was rendered, but for the mark.
func without(t *testing.T, main []byte) []byte {
	t.Helper()
	kind, name, _ := strings.Cut(terraform.ProtectionMark, ".")
	block := fmt.Appendf(nil, "resource %q %q {\n  input = local.protected\n}\n", kind, name)
	if !bytes.Contains(main, block) {
		t.Fatalf("no\n%s in\n%s", block, main)
	}
	return bytes.Replace(main, block, nil, 1)
}
