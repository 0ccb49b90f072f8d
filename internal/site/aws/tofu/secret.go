package tofu

import (
	"slices"
	"strings"

	tfjson "github.com/hashicorp/terraform-json"
)

// secrets are values that are marked somewhere in a plan: a provider may copy
// one into an attribute that bears no mark.
type secrets []string

func secretsOf(p *tfjson.Plan) secrets {
	found := map[string]bool{}
	for _, rc := range slices.Concat(p.ResourceChanges, p.ResourceDrift) {
		if rc.Change != nil {
			collect(found, rc.Change.Before, rc.Change.BeforeSensitive)
			collect(found, rc.Change.After, rc.Change.AfterSensitive)
		}
	}
	for _, c := range p.OutputChanges {
		collect(found, c.Before, c.BeforeSensitive)
		collect(found, c.After, c.AfterSensitive)
	}
	if p.Config != nil && p.Config.RootModule != nil {
		for name, v := range p.Config.RootModule.Variables {
			if given := p.Variables[name]; given != nil && v.Sensitive {
				collect(found, given.Value, true)
			}
		}
	}
	return sortedKeys(found)
}

// shortest secret that is looked for in others: what is shorter is in too many
// of them by chance.
const shortest = 4

// collect gathers the texts in a value that are marked.
func collect(found map[string]bool, value, marks any) {
	switch v := value.(type) {
	case string:
		if marks == true && len(v) >= shortest {
			found[v] = true
		}
	case map[string]any:
		for name, inner := range v {
			collect(found, inner, part(marks, name))
		}
	case []any:
		for i, inner := range v {
			collect(found, inner, partAt(marks, i))
		}
	}
}

// in says whether a text holds a secret.
func (s secrets) in(text string) bool {
	return slices.ContainsFunc(s, func(value string) bool { return strings.Contains(text, value) })
}

// clean is a text without what is secret.
func (s secrets) clean(text string) string {
	if s.in(text) {
		return masked
	}
	return text
}

// secretive are parts of names whose values are not shown, marked or not.
var secretive = []string{"password", "secret", "token", "private", "key_material", "credential", "preshared", "user_data"}

// harmless are names that have such a part, and hold no secret.
var harmless = []string{"http_tokens", "lock_token", "private_ip", "private_dns", "private_zone", "private_subnet"}

// named: a name on the way to a value says that it is secret.
func (s secrets) named(p trail) bool {
	return slices.ContainsFunc(p, func(step step) bool {
		name := strings.ToLower(step.name)
		for _, part := range harmless {
			name = strings.ReplaceAll(name, part, "")
		}
		return slices.ContainsFunc(secretive, func(part string) bool { return strings.Contains(name, part) })
	})
}
