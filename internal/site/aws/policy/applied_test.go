package policy_test

import (
	"encoding/json"
	"os"
	"strings"
	"sync"
	"testing"

	"godwit/internal/landscape"
	"godwit/internal/site/aws/policy"
	"godwit/internal/site/aws/terraform"
	"godwit/internal/site/aws/terraform/tofutest"
)

// people make the roles for people appear.
var people = tofutest.Vars{
	"developer_principals": `["arn:aws:iam::123456789012:role/people"]`,
	"admin_principals":     `["arn:aws:iam::123456789012:role/people"]`,
}

// vars are those of a root.
func vars(root string) tofutest.Vars {
	if root == "account" {
		return nil
	}
	return people
}

// expected is what a landscape declares of a root.
func expected(l *landscape.Landscape, root string) policy.Expect {
	name := strings.TrimPrefix(root, "environments/")
	e, ok := l.Environment(name)
	in := l.AWS.In(name)
	return policy.Expect{Protected: !ok || e.Protected, Gateways: in.Gateways, NoDNS: in.NoDNS}
}

// applied are the resources of a root, made once.
type applied struct {
	once sync.Once
	json []byte
}

// shared are the roots that were applied, by landscape and root. Several tests
// look at each, and each looks at a copy.
var shared sync.Map

// made are the resources of a root as OpenTofu made them, to be changed at will.
func made(t *testing.T, l *landscape.Landscape, root string) tree {
	t.Helper()
	entry, _ := shared.LoadOrStore(l.Name+"/"+root, &applied{})
	a := entry.(*applied)
	a.once.Do(func() {
		w := workspace(t, l)
		w.Init(root)
		w.Apply(root, vars(root))
		content, err := json.Marshal(policy.FromState(w.State(root)))
		if err != nil {
			t.Fatal(err)
		}
		a.json = content
	})
	if a.json == nil {
		t.Fatalf("%s was not made; see the test that tried", root)
	}
	var all []policy.Resource
	if err := json.Unmarshal(a.json, &all); err != nil {
		t.Fatal(err)
	}
	return tree{t, &all}
}

func workspace(t *testing.T, l *landscape.Landscape) *tofutest.Workspace {
	t.Helper()
	rendered, err := terraform.Render(l)
	if err != nil {
		t.Fatal(err)
	}
	return tofutest.New(t, rendered)
}

func bistro(t *testing.T) *landscape.Landscape {
	t.Helper()
	content, err := os.ReadFile("../../../../examples/bistro/landscape.hcl")
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, string(content))
}

func parse(t *testing.T, text string) *landscape.Landscape {
	t.Helper()
	l, findings := landscape.Parse([]landscape.File{{Name: "landscape.hcl", Bytes: []byte(text)}})
	if l == nil {
		t.Fatal(findings)
	}
	return l
}

// tree is resources to change.
type tree struct {
	t   *testing.T
	all *[]policy.Resource
}

// the only resource whose address ends so, or has the words.
func (r tree) the(words string) *policy.Resource {
	r.t.Helper()
	for _, fits := range []func(string, string) bool{strings.HasSuffix, strings.Contains} {
		var found *policy.Resource
		for i := range *r.all {
			one := &(*r.all)[i]
			if !fits(one.Address, words) {
				continue
			}
			if found != nil {
				r.t.Fatalf("%q is %s and %s", words, found.Address, one.Address)
			}
			found = one
		}
		if found != nil {
			return found
		}
	}
	r.t.Fatalf("there is no %s", words)
	return nil
}

// set gives an attribute another value; path goes through blocks: the first of each.
func (r tree) set(address, path string, value any) {
	r.t.Helper()
	r.within(address, path, func(block map[string]any, name string) { block[name] = value })
}

func (r tree) within(address, path string, change func(map[string]any, string)) {
	r.t.Helper()
	block := map[string]any(r.the(address).Values)
	names := strings.Split(path, "/")
	for _, name := range names[:len(names)-1] {
		list, _ := block[name].([]any)
		if len(list) == 0 {
			r.t.Fatalf("%s has no %s", address, path)
		}
		block = list[0].(map[string]any)
	}
	last := names[len(names)-1]
	if _, ok := block[last]; !ok {
		r.t.Fatalf("%s has no %s", address, path)
	}
	change(block, last)
}

// get is the text of an attribute.
func (r tree) get(address, name string) string {
	r.t.Helper()
	s := r.the(address).Values.Text(name)
	if s == "" {
		r.t.Fatalf("%s has no %s", address, name)
	}
	return s
}

// edit replaces words in a text.
func (r tree) edit(address, name, old, now string) {
	r.t.Helper()
	text := r.get(address, name)
	if !strings.Contains(text, old) {
		r.t.Fatalf("%s has no %s in %s: %s", address, old, name, text)
	}
	r.set(address, name, strings.ReplaceAll(text, old, now))
}

func (r tree) add(kind string, values policy.Values) {
	*r.all = append(*r.all, policy.Resource{Address: kind + ".added", Type: kind, Values: values, DependsOn: []string{}})
}

// drop takes resources away whose addresses have the words; there are some.
func (r tree) drop(words string) {
	r.t.Helper()
	var left []policy.Resource
	for _, one := range *r.all {
		if !strings.Contains(one.Address, words) {
			left = append(left, one)
		}
	}
	if len(left) == len(*r.all) {
		r.t.Fatalf("there is no %s", words)
	}
	*r.all = left
}
