package policy

import (
	"cmp"
	"slices"
	"strings"

	tfjson "github.com/hashicorp/terraform-json"
)

// Resource is a managed resource with the values that are known of it.
type Resource struct {
	Address string
	Type    string
	Values  Values
	// DependsOn are addresses, without keys, of whatever was made before; nil
	// when that is not known, as in a plan.
	DependsOn []string
}

// after: the resource is made after another, as far as is known.
func (r Resource) after(other Resource) bool {
	return r.DependsOn == nil || slices.Contains(r.DependsOn, keyless(other.Address))
}

// keyless is an address without the keys of count and for_each.
func keyless(address string) string {
	var out strings.Builder
	depth, quoted := 0, false
	for i := 0; i < len(address); i++ {
		switch c := address[i]; {
		case quoted && c == '\\':
			i++
		case depth > 0 && c == '"':
			quoted = !quoted
		case quoted:
		case c == '[':
			depth++
		case c == ']':
			depth--
		case depth == 0:
			out.WriteByte(c)
		}
	}
	return out.String()
}

// FromState are the managed resources of a state.
func FromState(s *tfjson.State) []Resource {
	if s == nil || s.Values == nil {
		return nil
	}
	all := fromModule(s.Values.RootModule)
	for i := range all {
		if all[i].DependsOn == nil {
			all[i].DependsOn = []string{} // known: nothing
		}
	}
	return all
}

// FromPlan are the managed resources as a plan wants them.
func FromPlan(p *tfjson.Plan) []Resource {
	if p == nil || p.PlannedValues == nil {
		return nil
	}
	all := fromModule(p.PlannedValues.RootModule)
	written := map[string]map[string]*tfjson.Expression{}
	if p.Config != nil {
		expressions(p.Config.RootModule, "", written)
	}
	for i, r := range all {
		all[i].Values = withoutMirrors(r, written[keyless(r.Address)])
		all[i].DependsOn = nil
	}
	return all
}

// mirrors are attributes in which a resource shows what other resources made.
// In a plan they show what was, not what will be.
var mirrors = map[string][]string{
	"aws_security_group":    {"ingress", "egress"},
	"aws_network_acl":       {"ingress", "egress"},
	"aws_route_table":       {"route", "propagating_vgws"},
	"aws_iam_role":          {"inline_policy", "managed_policy_arns"},
	"aws_autoscaling_group": {"target_group_arns", "traffic_source"},
	"aws_sns_topic":         {"policy"},
}

func withoutMirrors(r Resource, written map[string]*tfjson.Expression) Values {
	values := r.Values
	for _, name := range mirrors[r.Type] {
		if _, own := written[name]; own || values.Unknown(name) {
			continue
		}
		if len(values) == len(r.Values) {
			values = cloned(values)
		}
		delete(values, name)
	}
	return values
}

func cloned(v Values) Values {
	out := make(Values, len(v))
	for name, value := range v {
		out[name] = value
	}
	return out
}

// expressions are what the code says of each resource, by its address without keys.
func expressions(m *tfjson.ConfigModule, prefix string, into map[string]map[string]*tfjson.Expression) {
	if m == nil {
		return
	}
	for _, r := range m.Resources {
		into[prefix+r.Address] = r.Expressions
	}
	for name, call := range m.ModuleCalls {
		expressions(call.Module, prefix+"module."+name+".", into)
	}
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
