package terraform

import (
	"encoding/json"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// policyDocument is an IAM policy as AWS evaluates it, as far as the modules use
// the language: an unknown operator ends the test.
type policyDocument struct {
	Version   string
	Statement []policyStatement
}

type policyStatement struct {
	Sid                                      string
	Effect                                   string
	Principal                                any
	Action, NotAction, Resource, NotResource oneOrMore
	Condition                                map[string]map[string]oneOrMore
}

type oneOrMore []string

func (o *oneOrMore) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*o = oneOrMore{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(o))
}

// request is what somebody asks of AWS. A key that is not in the context is not
// in the request.
type request struct {
	action, resource string
	context          map[string]string
}

func parsePolicy(t *testing.T, text string) policyDocument {
	t.Helper()
	var d policyDocument
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	if d.Version != "2012-10-17" {
		t.Errorf("version %q: variables and newer operators would not be understood", d.Version)
	}
	return d
}

// allowed: a policy of the identity allows it, so does the boundary, and nothing
// denies it.
func allowed(t *testing.T, r request, boundary *policyDocument, identity ...policyDocument) bool {
	t.Helper()
	all, said := identity, decide(t, r, identity...)
	if boundary != nil {
		all = append(slices.Clone(identity), *boundary)
		return said == "Allow" && decide(t, r, *boundary) == "Allow" && decide(t, r, all...) != "Deny"
	}
	return said == "Allow"
}

func decide(t *testing.T, r request, documents ...policyDocument) string {
	t.Helper()
	decision := ""
	for _, d := range documents {
		for _, s := range d.Statement {
			if !s.matches(t, r) {
				continue
			}
			if s.Effect == "Deny" {
				return "Deny"
			}
			decision = "Allow"
		}
	}
	return decision
}

func (s policyStatement) matches(t *testing.T, r request) bool {
	t.Helper()
	action := func(p string) bool { return like(strings.ToLower(p), strings.ToLower(r.action)) }
	resource := func(p string) bool { return like(p, r.resource) }
	if len(s.Action) > 0 != slices.ContainsFunc(s.Action, action) || slices.ContainsFunc(s.NotAction, action) ||
		len(s.Resource) > 0 != slices.ContainsFunc(s.Resource, resource) || slices.ContainsFunc(s.NotResource, resource) {
		return false
	}
	for operator, keys := range s.Condition {
		for key, wanted := range keys {
			if !holds(t, operator, key, wanted, r.context) {
				return false
			}
		}
	}
	return true
}

// holds is one condition. An operator that negates is true where the key is
// missing, every other one false.
func holds(t *testing.T, operator, key string, wanted oneOrMore, context map[string]string) bool {
	t.Helper()
	value, there := context[key]
	any := func(match func(string) bool) bool { return there && slices.ContainsFunc(wanted, match) }
	operator = strings.TrimPrefix(operator, "ForAnyValue:")
	switch operator {
	case "Null":
		return wanted[0] == strconv.FormatBool(!there)
	case "StringEquals", "Bool", "ArnEquals":
		return any(func(w string) bool { return w == value })
	case "StringLike", "ArnLike":
		return any(func(w string) bool { return like(w, value) })
	case "ForAllValues:StringLike":
		return !there || any(func(w string) bool { return like(w, value) })
	case "StringNotEquals":
		return !any(func(w string) bool { return w == value })
	case "NumericLessThan":
		return any(func(w string) bool {
			limit, err := strconv.ParseFloat(w, 64)
			n, bad := strconv.ParseFloat(value, 64)
			return err == nil && bad == nil && n < limit
		})
	}
	t.Fatalf("the test does not know the operator %s", operator)
	return false
}

// like matches IAM's wildcards, which go over slashes and colons.
func like(pattern, s string) bool {
	flat := strings.NewReplacer("/", "\x00", "[", "\x01", "\\", "\x02").Replace
	ok, err := path.Match(flat(pattern), flat(s))
	return ok && err == nil
}
