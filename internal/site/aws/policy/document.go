package policy

import (
	"encoding/json"
	"slices"
	"strings"
)

// document is an IAM policy.
type document struct {
	Statement statements
}

func parse(text string) (document, error) {
	var d document
	err := json.Unmarshal([]byte(text), &d)
	return d, err
}

// statements may be written as one object.
type statements []statement

func (s *statements) UnmarshalJSON(b []byte) error {
	if json.Unmarshal(b, (*[]statement)(s)) == nil {
		return nil
	}
	var one statement
	err := json.Unmarshal(b, &one)
	*s = statements{one}
	return err
}

type statement struct {
	Effect       string
	Principal    principal
	NotPrincipal *principal
	Action       texts
	NotAction    texts
	Resource     texts
	NotResource  texts
	Condition    map[string]map[string]texts // operator, key, values
}

// texts may be written as one string, and its strings as booleans or numbers.
type texts []string

func (t *texts) UnmarshalJSON(b []byte) error {
	var value any
	if err := json.Unmarshal(b, &value); err != nil {
		return err
	}
	list, ok := value.([]any)
	if !ok {
		list = []any{value}
	}
	*t = nil
	for _, item := range list {
		*t = append(*t, Values{"": item}.Text(""))
	}
	return nil
}

// principal is "*" or kinds of principals.
type principal struct {
	Everybody bool
	Kinds     map[string]texts
}

func (p *principal) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		p.Everybody = one == "*"
		return nil
	}
	err := json.Unmarshal(b, &p.Kinds)
	p.Everybody = slices.Contains(p.Kinds["AWS"], "*")
	return err
}

// people: those whom it lets in are not services of AWS.
func (p principal) people() bool {
	return p.Everybody || len(p.Kinds["AWS"])+len(p.Kinds["Federated"]) > 0
}

// whose are the keys of conditions that say who asks, or for whom.
var whose = []string{"aws:PrincipalAccount", "aws:PrincipalArn", "aws:PrincipalOrgID", "aws:PrincipalOrgPaths",
	"aws:SourceAccount", "aws:SourceArn", "aws:SourceOrgID", "aws:SourceVpc", "aws:SourceVpce", "kms:CallerAccount", "aws:SourceOwner"}

// narrowed: a condition says who.
func (s statement) narrowed() bool {
	for operator, keys := range s.Condition {
		if strings.Contains(operator, "Not") || strings.HasSuffix(operator, "IfExists") {
			continue
		}
		for key, values := range keys {
			named := slices.ContainsFunc(whose, func(k string) bool { return strings.EqualFold(k, key) })
			if named && !slices.Contains(values, "*") {
				return true
			}
		}
	}
	return false
}

// secondFactor: nobody comes in without; BoolIfExists would let in who has
// credentials that know nothing of it.
func (s statement) secondFactor() bool {
	return slices.Equal(s.Condition["Bool"]["aws:MultiFactorAuthPresent"], texts{"true"})
}

// wide: the name stands for all resources, or for all of a kind.
func wide(resource string) bool {
	parts := strings.SplitN(resource, ":", 6)
	if len(parts) < 6 {
		return strings.HasPrefix(resource, "*")
	}
	name := parts[5]
	if i := strings.IndexAny(name, "/:"); i >= 0 && parts[2] != "s3" {
		name = name[i+1:] // after the kind
	}
	return strings.HasPrefix(name, "*") && strings.Trim(name, "*/:") == ""
}

// everything: the action stands for all of a service, or of all services.
func everything(action string) bool {
	service, name, ok := strings.Cut(action, ":")
	return !ok && strings.Contains(action, "*") || strings.Contains(service, "*") || ok && strings.Trim(name, "*") == ""
}
