// Package policy judges what Terraform made, or is about to make: resources with
// their values, whatever wrote the code. It knows neither the landscape nor the
// modules, so that a mistake in either is not repeated here.
//
// Its nouns: a Resource is one of a state or plan; a Violation is a resource
// that breaks a rule, why, and how to mend it; Reach is who reaches whom, computed
// from security groups, network ACLs, load balancers and routes.
//
// Values that are not known yet break no rule: a plan is judged as far as it is
// known, a state as a whole. It is pure. The driver of Terraform, the command
// line and tests import it.
package policy

import (
	"cmp"
	"slices"

	tfjson "github.com/hashicorp/terraform-json"
)

// Resource is a managed resource with the values that are known of it.
type Resource struct {
	Address   string
	Type      string
	Values    Values
	DependsOn []string // addresses, without keys, where they are known
}

// Violation is a resource that breaks a rule.
type Violation struct {
	Rule    string `json:"rule"`
	Address string `json:"address"`
	Why     string `json:"why"`
	Mend    string `json:"mend"`
}

// FromState are the managed resources of a state.
func FromState(s *tfjson.State) []Resource {
	if s == nil || s.Values == nil {
		return nil
	}
	return fromModule(s.Values.RootModule)
}

// FromPlan are the managed resources as a plan wants them.
func FromPlan(p *tfjson.Plan) []Resource {
	if p == nil || p.PlannedValues == nil {
		return nil
	}
	return fromModule(p.PlannedValues.RootModule)
}

func fromModule(m *tfjson.StateModule) []Resource {
	if m == nil {
		return nil
	}
	var all []Resource
	for _, r := range m.Resources {
		if r.Mode == tfjson.ManagedResourceMode {
			all = append(all, Resource{r.Address, r.Type, r.AttributeValues, r.DependsOn})
		}
	}
	for _, child := range m.ChildModules {
		all = append(all, fromModule(child)...)
	}
	slices.SortFunc(all, func(a, b Resource) int { return cmp.Compare(a.Address, b.Address) })
	return all
}

// Expect is what is not to be seen in the resources.
type Expect struct {
	Protected bool // an environment that must not be lost
}

// rule looks at the whole and reports what breaks it.
type rule struct {
	name  string
	check func(*world)
}

// rules are all of them, in the order of a reader's interest.
var rules = []rule{
	{"open-ingress", openIngress},
	{"open-egress", openEgress},
	{"peering", peering},
	{"data-route", dataRoute},
	{"imds", instanceMetadata},
	{"ssh", noSSH},
	{"pinned-version", pinnedVersion},
	{"target-group", targetGroups},
	{"encryption", encryption},
	{"bucket", buckets},
	{"object-lock", objectLock},
	{"iam-wildcard", wildcards},
	{"iam-people", people},
	{"tls", listeners},
	{"shield", shield},
	{"database", databases},
	{"flow-log", flowLogs},
	{"trail", trails},
}

// Check judges the resources.
func Check(resources []Resource, expect Expect) []Violation {
	w := newWorld(resources, expect)
	for _, r := range rules {
		w.rule = r.name
		r.check(w)
	}
	return w.found
}

// world is the resources while they are judged.
type world struct {
	Expect
	all    []Resource
	byType map[string][]Resource
	rule   string
	found  []Violation
}

func newWorld(resources []Resource, expect Expect) *world {
	w := &world{Expect: expect, all: resources, byType: map[string][]Resource{}}
	for _, r := range resources {
		w.byType[r.Type] = append(w.byType[r.Type], r)
	}
	return w
}

func (w *world) of(kind string) []Resource { return w.byType[kind] }

func (w *world) breaks(r Resource, why, mend string) {
	w.found = append(w.found, Violation{w.rule, r.Address, why, mend})
}

// with finds the resource of a type that has a value.
func (w *world) with(kind, attribute, value string) (Resource, bool) {
	for _, r := range w.of(kind) {
		if value != "" && r.Values.Text(attribute) == value {
			return r, true
		}
	}
	return Resource{}, false
}
