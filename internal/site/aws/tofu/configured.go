package tofu

import (
	"regexp"
	"strings"

	tfjson "github.com/hashicorp/terraform-json"
)

// index of an instance in an address: [0], ["blue"].
var index = regexp.MustCompile(`\[(\d+|"(\\.|[^"\\])*")\]`)

// configured are the attributes that a configuration gives a resource; the
// others the provider computes. nil: the configuration is not known.
func configured(c *tfjson.Config, rc *tfjson.ResourceChange) map[string]bool {
	if c == nil || c.RootModule == nil {
		return nil
	}
	m := c.RootModule
	// Without indices every other part of an address is a name: module.a.module.b.
	for i, name := range strings.Split(index.ReplaceAllString(rc.ModuleAddress, ""), ".") {
		if i%2 == 0 {
			continue
		}
		call := m.ModuleCalls[name]
		if call == nil || call.Module == nil {
			return nil
		}
		m = call.Module
	}
	for _, r := range m.Resources {
		if r.Type != rc.Type || r.Name != rc.Name || r.Mode != rc.Mode {
			continue
		}
		names := map[string]bool{}
		for name := range r.Expressions {
			names[name] = true
		}
		return names
	}
	return nil
}
