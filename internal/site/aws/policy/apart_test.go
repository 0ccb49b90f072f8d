package policy_test

import (
	"slices"
	"strings"
	"testing"

	"godwit/internal/site/aws/policy"
)

// TestEnvironmentsAreApart: with the resources of two environments together,
// nobody of one reaches anybody of the other; even where both name the other's
// networks in their groups.
func TestEnvironmentsAreApart(t *testing.T) {
	t.Parallel()
	l := bistro(t)
	for name, prepare := range map[string]func(one, other tree){
		"as they are": func(tree, tree) {},
		"both open to the other's network": func(one, other tree) {
			for r, peer := range map[tree]string{one: "10.20.0.0/16", other: "10.10.0.0/16"} {
				group := r.get("aws_security_group.service_till", "id")
				r.add("aws_vpc_security_group_ingress_rule", gate(group, 8080, policy.Values{"cidr_ipv4": peer}))
				r.add("aws_vpc_security_group_egress_rule", gate(group, 8080, policy.Values{"cidr_ipv4": peer}))
				aclRule(r, "private", 1, "allow", false, peer, 0, 65535)
				aclRule(r, "private", 1, "allow", true, peer, 0, 65535)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			one, other := made(t, l, test), made(t, l, "environments/stage")
			prepare(one, other)
			for _, r := range *other.all {
				rename(r.Values, "godwit:service", "godwit:database")
			}
			both := slices.Concat(*one.all, *other.all)
			ways, err := policy.Reach(both)
			if err != nil {
				t.Fatal(err)
			}
			inside := 0
			for _, w := range ways {
				if !ofEnvironment(w.From) || !ofEnvironment(w.To) {
					continue
				}
				if inside++; other.owns(w.From) != other.owns(w.To) {
					t.Errorf("%s", w)
				}
			}
			if want := 2 * (4 + 4); inside != want { // four needs, four load balancers' ways, twice
				t.Errorf("%d ways within, want %d", inside, want)
			}
		})
	}
}

func ofEnvironment(n policy.Node) bool {
	return n.Kind == "service" || n.Kind == "database" || n.Kind == "balancer"
}

// owns: the node is of the environment whose tags were renamed.
func (r tree) owns(n policy.Node) bool {
	return strings.HasPrefix(n.Name, "other-") || strings.HasPrefix(n.Name, "bistro-stage-")
}

// rename gives tags another value.
func rename(values policy.Values, names ...string) {
	for _, attribute := range []string{"tags", "tags_all"} {
		for _, tags := range values.Blocks(attribute) {
			for _, name := range names {
				if s, ok := tags[name].(string); ok && !strings.HasPrefix(s, "other-") {
					tags[name] = "other-" + s
				}
			}
		}
	}
	for _, tag := range values.Blocks("tag") {
		if slices.Contains(names, tag.Text("key")) {
			tag["value"] = "other-" + tag.Text("value")
		}
	}
}
