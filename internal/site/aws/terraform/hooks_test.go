package terraform_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"godwit/internal/site/aws/convention"
	"godwit/internal/site/aws/terraform/tofutest"
)

// hooked: the end of every instance waits for its draining, and the launch of one
// for its health where no load balancer asks for that, and nowhere else. Who may
// complete the hooks of a group is its own role.
func hooked(t *testing.T, world tofutest.World, unreached ...string) {
	t.Helper()
	var got, want []string
	arns := map[string]string{}
	for _, g := range world.Of("aws_autoscaling_group") {
		name := g.State["name"].(string)
		arns[name] = g.State["arn"].(string)
		service := name[:strings.LastIndex(name, "-")]
		want = append(want, name+" drain TERMINATING CONTINUE 120")
		if slices.Contains(unreached, service) {
			// Five minutes, and four starts of two minutes and three checks every 5 s, of 2 s each.
			want = append(want, name+" launch LAUNCHING ABANDON 864")
		}
		if balanced := len(g.State["target_group_arns"].([]any)) > 0; balanced == slices.Contains(unreached, service) {
			t.Errorf("%s: behind a load balancer: %v", name, balanced)
		}
	}
	for _, h := range world.Of("aws_autoscaling_lifecycle_hook") {
		got = append(got, fmt.Sprint(h.State["autoscaling_group_name"], " ", h.State["name"], " ",
			strings.TrimPrefix(h.State["lifecycle_transition"].(string), "autoscaling:EC2_INSTANCE_"), " ", h.State["default_result"], " ", h.State["heartbeat_timeout"]))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("hooks are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, service := range unreached {
		completes(t, world, service, []string{arns[service+"-"+string(convention.Blue)], arns[service+"-"+string(convention.Green)]})
	}
}

// completes: the role of a service's instances may complete the hooks of these
// groups, and of no others.
func completes(t *testing.T, world tofutest.World, service string, groups []string) {
	t.Helper()
	for _, p := range world.Of("aws_iam_role_policy") {
		if p.State["role"] != service || p.State["name"] != "lifecycle" {
			continue
		}
		var d struct {
			Statement []struct {
				Effect           string
				Action, Resource []string
			}
		}
		if err := json.Unmarshal([]byte(p.State["policy"].(string)), &d); err != nil {
			t.Fatal(err)
		}
		s := d.Statement[0]
		slices.Sort(s.Resource)
		slices.Sort(groups)
		if len(d.Statement) != 1 || s.Effect != "Allow" || !slices.Contains(s.Action, "autoscaling:CompleteLifecycleAction") || !slices.Equal(s.Resource, groups) {
			t.Errorf("%s may %+v, want to complete the hooks of %v", service, d, groups)
		}
		return
	}
	t.Errorf("the role %s may complete no hook", service)
}
