package policy_test

import (
	"fmt"
	"testing"

	"godwit/internal/site/aws/policy"
)

// TestUnknownBreaksNothing: whichever value is not known yet, no rule is broken.
// One resource of each type, each of its values, and those in its blocks.
func TestUnknownBreaksNothing(t *testing.T) {
	t.Parallel()
	for name, world := range map[string]func() tree{
		"environment": func() tree { return made(t, bistro(t), test) },
		"vpn":         func() tree { return made(t, parse(t, grill), production) },
		"account":     func() tree { return made(t, bistro(t), account) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			resources, seen, tried := *world().all, map[string]bool{}, 0
			for _, r := range resources {
				if seen[r.Type] {
					continue
				}
				seen[r.Type] = true
				without(r.Values, "", func(path string) {
					tried++
					for _, v := range policy.Check(resources, policy.Expect{Protected: name != "environment"}) {
						t.Errorf("%s without %s: %s", r.Address, path, v)
					}
				})
			}
			t.Logf("%d values", tried)
			if tried < 350 {
				t.Errorf("only %d values were taken away", tried)
			}
		})
	}
}

// without takes away one value after the other, calls, and puts it back.
func without(values map[string]any, path string, then func(path string)) {
	for name, value := range values {
		delete(values, name)
		then(path + name)
		values[name] = value
		list, _ := value.([]any)
		for i, item := range list {
			if block, ok := item.(map[string]any); ok && i == 0 {
				without(block, fmt.Sprintf("%s%s/", path, name), then)
			}
		}
	}
}
