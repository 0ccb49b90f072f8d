// Package policy judges what Terraform made, or is about to make: resources with
// their values, whatever wrote the code. It knows neither the landscape nor the
// modules, so that a mistake in either is not repeated here.
//
// Its nouns: a Resource is one of a state or plan; a Violation is a resource
// that breaks a rule, why, and how to mend it; a Way is that one node reaches
// another, computed from security groups, network ACLs, load balancers and routes;
// a Grant is that a service may read a secret, computed from roles.
//
// Values that are not known yet break no rule: a plan is judged as far as it is
// known, a state as a whole. It is pure. The driver of Terraform, the command
// line and tests import it.
package policy

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Violation is a resource that breaks a rule.
type Violation struct {
	Rule    string `json:"rule"`
	Address string `json:"address"`
	Why     string `json:"why"`
	Mend    string `json:"mend"`
}

func (v Violation) String() string {
	return fmt.Sprintf("%s: %s: %s; %s", v.Rule, v.Address, v.Why, v.Mend)
}

// Expect is what is not to be seen in the resources.
type Expect struct {
	// Protected is an environment that must not be lost.
	Protected bool
	// SecondFactorElsewhere is that an identity provider asks people for it, of
	// which AWS is not told.
	SecondFactorElsewhere bool
	// Gateways stand before the environment: they say who a client is.
	Gateways []netip.Prefix
	// NoDNS is that the names of the environment do not lead to it yet.
	NoDNS bool
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
	{"rate", rates},
	{"dns", names},
	{"database", databases},
	{"secret", secrets},
	{"flow-log", flowLogs},
	{"trail", trails},
}

// Rules are the names of all rules.
func Rules() []string {
	names := make([]string, len(rules))
	for i, r := range rules {
		names[i] = r.name
	}
	return names
}

// Check judges the resources: by rule, and by address within one.
func Check(resources []Resource, expect Expect) []Violation {
	w := newWorld(resources)
	w.Expect = expect
	var all []Violation
	for _, r := range rules {
		w.rule, w.found = r.name, nil
		r.check(w)
		slices.SortFunc(w.found, func(a, b Violation) int {
			return cmp.Or(cmp.Compare(a.Address, b.Address), cmp.Compare(a.Why, b.Why))
		})
		all = append(all, slices.Compact(w.found)...)
	}
	return all
}

// world is the resources while they are judged.
type world struct {
	Expect
	all    []Resource
	byType map[string][]Resource
	index  map[key]map[string]Resource
	gates  []gate
	routes []route
	acls   map[aclSide][]aclRule
	rule   string
	found  []Violation
}

type key struct{ kind, attribute string }

func newWorld(resources []Resource) *world {
	resources = slices.Clone(resources)
	w := &world{all: resources, byType: map[string][]Resource{}, index: map[key]map[string]Resource{}}
	for i, r := range resources {
		if rest, ok := strings.CutPrefix(r.Type, "aws_alb"); ok { // another name of the same
			r.Type = "aws_lb" + rest
			resources[i] = r
		}
		w.byType[r.Type] = append(w.byType[r.Type], r)
	}
	w.acls = map[aclSide][]aclRule{}
	w.gates = w.allGates()
	w.routes = w.allRoutes()
	return w
}

// of are the resources of some types.
func (w *world) of(kinds ...string) []Resource {
	if len(kinds) == 1 {
		return w.byType[kinds[0]]
	}
	var all []Resource
	for _, kind := range kinds {
		all = append(all, w.byType[kind]...)
	}
	return all
}

func (w *world) breaks(r Resource, why, mend string) {
	w.found = append(w.found, Violation{w.rule, r.Address, why, mend})
}

// lacks: no resource of a type has the value, and none could: theirs are known.
func (w *world) lacks(kind, attribute, value string) bool {
	if _, ok := w.with(kind, attribute, value); ok {
		return false
	}
	return !slices.ContainsFunc(w.of(kind), func(r Resource) bool { return r.Values.Unknown(attribute) })
}

// with finds the first resource of a type that has a value.
func (w *world) with(kind, attribute, value string) (Resource, bool) {
	by, ok := w.index[key{kind, attribute}]
	if !ok {
		by = map[string]Resource{}
		for _, r := range w.of(kind) {
			if v := r.Values.Text(attribute); v != "" {
				if _, ok := by[v]; !ok {
					by[v] = r
				}
			}
		}
		w.index[key{kind, attribute}] = by
	}
	r, ok := by[value]
	return r, ok
}
