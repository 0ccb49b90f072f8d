package terraform

import (
	"fmt"
	"strings"
	"testing"

	tfjson "github.com/hashicorp/terraform-json"

	"godwit/internal/landscape"
	"godwit/internal/site/aws/convention"
	"godwit/internal/site/aws/terraform/tofutest"
)

// What IAM takes, in characters that are no white space.
const (
	mostOfPolicy = 6144  // a managed policy
	mostOfInline = 10240 // all policies in a role
	mostOfTrust  = 2048  // who may take a role
)

// longest is a landscape whose names are all as long as they may be, with a
// service that needs some databases.
func longest(t *testing.T, count int) *landscape.Landscape {
	t.Helper()
	name := func(first string, length int) string {
		return first + strings.Repeat("-x", (length-len(first))/2) + strings.Repeat("y", (length-len(first))%2)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "landscape %q {}\n", name("landscape", longestLandscape))
	fmt.Fprintf(&b, "environment %q { network = \"10.1.0.0/16\" }\n", name("environment", 40))
	service, other := name("service", 40), name("other", 40)
	fmt.Fprintf(&b, "service %q {\n image = \"./a\"\n port = 8080\n env = { A = env.A }\n needs = [service.%s", service, other)
	for i := range count {
		fmt.Fprintf(&b, ", database.%s", name(fmt.Sprintf("database%02d", i), 40))
	}
	b.WriteString("]\n}\n")
	fmt.Fprintf(&b, "service %q {\n image = \"./b\"\n port = 8080\n}\n", other)
	for i := range count {
		fmt.Fprintf(&b, "database %q { engine = \"postgres\" }\n", name(fmt.Sprintf("database%02d", i), 40))
	}
	fmt.Fprintf(&b, "ingress \"a\" {\n host = \"a.example\"\n service = service.%s\n}\n", service)
	b.WriteString("aws {\n region = \"ap-southeast-1\"\n domain = \"a.example\"\n zones = 3\n oncall = [\"a@a.example\"]\n}\n")
	l, found := landscape.Parse([]landscape.File{{Name: "longest.hcl", Bytes: []byte(b.String())}})
	if l == nil {
		t.Fatal(found)
	}
	return l
}

// TestLongestNames makes all that there is with the longest names that are
// allowed: no name, and no policy, becomes longer than AWS takes.
func TestLongestNames(t *testing.T) {
	t.Parallel()
	const few = 2
	l := longest(t, few)
	tree, err := Render(l)
	if err != nil {
		t.Fatal(err)
	}
	w := tofutest.New(t, tree)
	people := tofutest.Vars{
		"developer_principals": `["arn:aws:iam::123456789012:role/people"]`,
		"admin_principals":     `["arn:aws:iam::123456789012:role/people"]`,
	}
	scope := convention.Scope{Landscape: l.Name, Environment: l.Environments[0].Name}
	// AWS adds six characters of its own to a secret's name.
	each := len(`"arn:aws:secretsmanager:ap-southeast-1:` + testAccount + `:secret:` + scope.DatabaseSecret(l.Databases[0].Name) + `-AbCdEf",`)
	for root, vars := range map[string]tofutest.Vars{"account": nil, "environments/" + scope.Environment: people} {
		w.Init(root)
		w.Apply(root, vars)
		all := made(t, w.State(root))
		managed := short(t, all, "aws_iam_policy", "policy", mostOfPolicy)
		short(t, all, "aws_iam_role", "assume_role_policy", mostOfTrust)
		inline := map[string]int{}
		for _, r := range all {
			if r.Type == "aws_iam_role_policy" {
				inline[r.AttributeValues["role"].(string)] += size(r.AttributeValues["policy"].(string))
			}
		}
		for role, n := range inline {
			if n += (mostDatabases - few) * each; n > mostOfInline {
				t.Errorf("with %d databases the policies in role %s have %d characters, and AWS takes %d", mostDatabases, role, n, mostOfInline)
			}
		}
		if len(inline) == 0 || root != "account" && (managed != 4 || len(inline) != 3) {
			t.Errorf("%s: only %d policies and %d roles were measured", root, managed, len(inline))
		}
	}
}

// short: a policy has no more characters than AWS takes, in all resources of a
// type. It returns how many these are.
func short(t *testing.T, all map[string]*tfjson.StateResource, kind, attribute string, limit int) (count int) {
	t.Helper()
	for address, r := range all {
		if r.Type != kind {
			continue
		}
		count++
		if n := size(r.AttributeValues[attribute].(string)); n > limit {
			t.Errorf("%s has %d characters, and AWS takes %d", address, n, limit)
		}
	}
	return count
}

// TestTooLong: names that would become too long are refused, with what to do.
func TestTooLong(t *testing.T) {
	t.Parallel()
	account := convention.Account{Landscape: strings.Repeat("l", longestLandscape), AccountID: testAccount, Region: "ap-southeast-1"}
	if n := len(account.StateBucket()); n > 63 {
		t.Errorf("the state's bucket has %d characters", n)
	}
	l := longest(t, 1)
	l.Name += "z"
	if _, err := Render(l); err == nil || !strings.Contains(err.Error(), "1 characters too long") {
		t.Errorf("a landscape of %d characters: %v", len(l.Name), err)
	}
	l = longest(t, mostDatabases)
	l.Databases = append(l.Databases, landscape.Database{Name: "more", Engine: "postgres"})
	l.Services[0].Needs = append(l.Services[0].Needs, landscape.Ref{Kind: "database", Name: "more"})
	if _, err := Render(l); err == nil || !strings.Contains(err.Error(), "needs 41 databases") || !strings.Contains(err.Error(), "at most 40") {
		t.Errorf("a service with %d databases: %v", mostDatabases+1, err)
	}
}
