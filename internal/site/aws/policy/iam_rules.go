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

// statements may be written as one object.
type statements []statement

func (s *statements) UnmarshalJSON(b []byte) error {
	var one statement
	if err := json.Unmarshal(b, (*[]statement)(s)); err == nil {
		return nil
	}
	err := json.Unmarshal(b, &one)
	*s = statements{one}
	return err
}

type statement struct {
	Effect       string
	Principal    principal
	Action       texts
	NotAction    texts
	Resource     texts
	NotResource  texts
	NotPrincipal any
	Condition    map[string]map[string]any
}

// texts may be written as one string.
type texts []string

func (t *texts) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*t = texts{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(t))
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
	if err := json.Unmarshal(b, &p.Kinds); err != nil {
		return err
	}
	p.Everybody = slices.Contains(p.Kinds["AWS"], "*")
	return nil
}

// policyAttributes are where policies stand, by type; the second of a pair says
// whether the policy belongs to a resource, which limits what its "*" means.
var policyAttributes = map[string]struct {
	attribute string
	resource  bool
}{
	"aws_iam_role_policy":                {"policy", false},
	"aws_iam_policy":                     {"policy", false},
	"aws_iam_user_policy":                {"policy", false},
	"aws_iam_group_policy":               {"policy", false},
	"aws_iam_role":                       {"assume_role_policy", true},
	"aws_s3_bucket_policy":               {"policy", true},
	"aws_kms_key":                        {"policy", true},
	"aws_sns_topic_policy":               {"policy", true},
	"aws_vpc_endpoint":                   {"policy", true},
	"aws_secretsmanager_secret_policy":   {"policy", true},
	"aws_cloudwatch_log_resource_policy": {"policy_document", false},
	"aws_sns_topic":                      {"policy", true},
}

// wildcards: nobody may everything, and "*" needs a condition.
func wildcards(w *world) {
	for _, r := range w.all {
		at, ok := policyAttributes[r.Type]
		text := r.Values.Text(at.attribute)
		if !ok || text == "" {
			continue
		}
		var d document
		if err := json.Unmarshal([]byte(text), &d); err != nil {
			w.breaks(r, "its policy is not JSON: "+err.Error(), "write it with jsonencode")
			continue
		}
		boundary := r.Type == "aws_iam_policy" && w.isBoundary(r)
		for _, s := range d.Statement {
			w.statement(r, s, at.resource, boundary)
		}
	}
}

// isBoundary: it is used as a permissions boundary, which grants nothing.
func (w *world) isBoundary(r Resource) bool {
	_, ok := w.with("aws_iam_role", "permissions_boundary", r.Values.Text("arn"))
	return ok
}

func (w *world) statement(r Resource, s statement, ofResource, boundary bool) {
	if s.Effect != "Allow" || boundary {
		return
	}
	if s.Principal.Everybody && len(s.Condition) == 0 {
		w.breaks(r, "everybody in the world is allowed "+strings.Join(s.Action, ", "), "name principals, or add a condition")
	}
	if len(s.NotAction)+len(s.NotResource) > 0 || s.NotPrincipal != nil {
		w.breaks(r, "it allows all but something", "name what is allowed")
	}
	if ofResource {
		return // its "*" is the resource itself
	}
	for _, action := range s.Action {
		if (action == "*" || strings.HasSuffix(action, ":*")) && len(s.Condition) == 0 {
			w.breaks(r, "it allows "+action, "name the actions, or add a condition")
		}
	}
	if slices.Contains(s.Resource, "*") && len(s.Condition) == 0 {
		w.breaks(r, "it allows "+strings.Join(s.Action, ", ")+" on everything", "name the resources, or add a condition")
	}
}

// people come with credentials that end: no users, and roles for an hour, with
// a second factor, inside a boundary.
func people(w *world) {
	for _, kind := range []string{"aws_iam_user", "aws_iam_access_key", "aws_iam_group", "aws_iam_user_login_profile"} {
		for _, r := range w.of(kind) {
			w.breaks(r, "it has credentials that do not end", "make a role that people assume")
		}
	}
	for _, r := range w.of("aws_iam_role") {
		var trust document
		if json.Unmarshal([]byte(r.Values.Text("assume_role_policy")), &trust) != nil {
			continue
		}
		for _, s := range trust.Statement {
			if len(s.Principal.Kinds["AWS"]) == 0 && !s.Principal.Everybody {
				continue // a service of AWS
			}
			if max := r.Values.Int("max_session_duration"); max > 3600 {
				w.breaks(r, "its credentials last longer than an hour", "set max_session_duration = 3600")
			}
			if r.Values.Text("permissions_boundary") == "" && len(w.of("aws_iam_policy")) > 0 {
				w.breaks(r, "people get it without a boundary", "set permissions_boundary")
			}
			if !conditioned(s, "aws:MultiFactorAuthPresent") {
				w.breaks(r, "it can be assumed without a second factor", "require aws:MultiFactorAuthPresent")
			}
		}
	}
}

// conditioned: the statement depends on a key being true.
func conditioned(s statement, key string) bool {
	for operator, keys := range s.Condition {
		value, ok := keys[key]
		if ok && operator == "Bool" && (value == "true" || value == true) {
			return true
		}
	}
	return false
}
