package terraform_test

import (
	"maps"
	"path/filepath"
	"strings"
	"testing"

	"godwit/internal/site/aws/policy"
	"godwit/internal/site/aws/terraform/tofutest"
)

// TestValid lets OpenTofu judge what is rendered, with the schema of the AWS
// provider: format, arguments, types, references.
func TestValid(t *testing.T) {
	t.Parallel()
	for _, path := range append(goldens(t), bistro) {
		t.Run(filepath.Base(filepath.Dir(path)), func(t *testing.T) {
			t.Parallel()
			l := parse(t, path)
			w := tofutest.New(t, render(t, l))
			w.Fmt()
			// Environments differ in values: the last has most of them.
			root := "environments/" + l.Environments[len(l.Environments)-1].Name
			w.Init(root)
			w.Validate(root)
		})
	}
}

// TestMade makes an account and an environment that has everything: all of it
// can be made at once, is as declared then, breaks no rule of package policy,
// still is as declared after a rollout, and can be taken away again.
func TestMade(t *testing.T) {
	t.Parallel()
	w := tofutest.New(t, render(t, parse(t, "testdata/golden/chain/landscape.hcl")))
	const root = "environments/production"
	for _, root := range []string{"account", root} {
		w.Init(root)
		w.Apply(root, nil)
		w.Same(root, nil)
	}
	for _, v := range policy.Check(policy.FromState(w.State(root)), policy.Expect{Protected: true}) {
		t.Errorf("%s: %s %s; %s", v.Rule, v.Address, v.Why, v.Mend)
	}
	hooked(t, w.World(), "chain-production-worker")
	w.Alter(func(world tofutest.World) { rollOut(t, world) })
	w.Same(root, nil)
	w.Destroy(root, nil)
}

// rollOut does to the world what a rollout does: a new version of the launch
// template, a second group, other weights.
func rollOut(t *testing.T, world tofutest.World) {
	t.Helper()
	changed := map[string]int{}
	for _, r := range world {
		changed[r.Type]++
		switch r.Type {
		case "aws_launch_template":
			maps.Copy(r.State, map[string]any{"image_id": "ami-0123456789abcdef0", "user_data": "e30=", "description": "release 7", "latest_version": 8})
		case "aws_autoscaling_group":
			if !strings.HasSuffix(r.State["name"].(string), "-green") {
				continue
			}
			maps.Copy(r.State, map[string]any{"min_size": 2, "max_size": 9, "desired_capacity": 4, "suspended_processes": []any{}})
			r.State["launch_template"].([]any)[0].(map[string]any)["version"] = "8"
			r.State["tag"] = append(r.State["tag"].([]any), map[string]any{"key": "godwit:release", "value": "7", "propagate_at_launch": true})
		case "aws_lb_listener_rule":
			forward := r.State["action"].([]any)[0].(map[string]any)["forward"].([]any)[0].(map[string]any)
			for i, weight := range []int{0, 100} {
				forward["target_group"].([]any)[i].(map[string]any)["weight"] = weight
			}
		default:
			changed[r.Type]--
		}
	}
	for _, kind := range []string{"aws_launch_template", "aws_autoscaling_group", "aws_lb_listener_rule"} {
		if changed[kind] == 0 {
			t.Errorf("there is no %s to roll out to", kind)
		}
	}
}
