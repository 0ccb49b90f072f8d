package policy

import (
	"strings"
)

// policies are where policies stand, by type. One that belongs to a resource is
// about that resource, whatever its "*" says.
var policies = []struct {
	kind, attribute string
	ofResource      bool
}{
	{"aws_iam_role_policy", "policy", false},
	{"aws_iam_policy", "policy", false},
	{"aws_cloudwatch_log_resource_policy", "policy_document", false},
	{"aws_iam_role", "assume_role_policy", true},
	{"aws_s3_bucket_policy", "policy", true},
	{"aws_kms_key", "policy", true},
	{"aws_sns_topic", "policy", true},
	{"aws_sns_topic_policy", "policy", true},
	{"aws_sqs_queue_policy", "policy", true},
	{"aws_vpc_endpoint", "policy", true},
	{"aws_vpc_endpoint_policy", "policy", true},
	{"aws_secretsmanager_secret_policy", "policy", true},
}

// wildcards: nobody may everything, and "*" needs a condition.
func wildcards(w *world) {
	for _, p := range policies {
		for _, r := range w.of(p.kind) {
			w.policy(r, r.Values.Text(p.attribute), p.ofResource)
		}
	}
	for _, r := range w.of("aws_iam_role") {
		for _, inline := range r.Values.Blocks("inline_policy") {
			w.policy(r, inline.Text("policy"), false)
		}
		for _, arn := range r.Values.Texts("managed_policy_arns") {
			w.attached(r, arn)
		}
	}
	for _, r := range w.of("aws_iam_role_policy_attachment", "aws_iam_policy_attachment") {
		w.attached(r, r.Values.Text("policy_arn"))
	}
}

// policy judges a policy as text; "" when there is none, or none known.
func (w *world) policy(r Resource, text string, ofResource bool) {
	if text == "" {
		return
	}
	d, err := parse(text)
	if err != nil {
		w.breaks(r, "its policy is no policy: "+err.Error(), "write it with jsonencode")
		return
	}
	for _, s := range d.Statement {
		if s.Effect == "Allow" {
			w.allows(r, s, ofResource)
		}
	}
}

func (w *world) allows(r Resource, s statement, ofResource bool) {
	if s.Principal.Everybody && !s.narrowed() {
		w.breaks(r, "everybody in the world is allowed "+strings.Join(s.Action, ", "), "name principals, or add a condition that says who")
	}
	if len(s.NotAction)+len(s.NotResource) > 0 || s.NotPrincipal != nil {
		w.breaks(r, "it allows all but something", "name what is allowed")
	}
	if ofResource {
		return
	}
	for _, action := range s.Action {
		switch {
		case strings.Trim(action, "*:") == "":
			w.breaks(r, "it allows everything", "name the actions")
		case everything(action) && len(s.Condition) == 0:
			w.breaks(r, "it allows "+action, "name the actions, or add a condition")
		}
	}
	for _, resource := range s.Resource {
		if wide(resource) && len(s.Condition) == 0 {
			w.breaks(r, "it allows "+strings.Join(s.Action, ", ")+" on "+resource, "name the resources, or add a condition")
		}
	}
}

// attached judges a policy of AWS's own: only those for services are narrow, and
// AWS widens them when it likes.
func (w *world) attached(r Resource, arn string) {
	if _, name, ok := strings.Cut(arn, ":iam::aws:policy/"); ok && !strings.HasPrefix(name, "service-role/") {
		w.breaks(r, "it gives whatever AWS calls "+name, "write a policy with what is needed")
	}
}

// lasting are types with credentials that do not end.
var lasting = []string{"aws_iam_user", "aws_iam_access_key", "aws_iam_group", "aws_iam_user_login_profile",
	"aws_iam_user_policy", "aws_iam_user_policy_attachment", "aws_iam_group_policy", "aws_iam_group_policy_attachment"}

// people come with credentials that end: no users, and roles for an hour, with
// a second factor, inside a boundary.
func people(w *world) {
	for _, r := range w.of(lasting...) {
		w.breaks(r, "it is for credentials that do not end", "make a role that people assume")
	}
	for _, r := range w.of("aws_iam_role") {
		trust, err := parse(r.Values.Text("assume_role_policy"))
		if err != nil {
			continue // not known yet, or told above
		}
		for _, s := range trust.Statement {
			if s.Effect == "Allow" && s.Principal.people() {
				w.personal(r, s)
			}
		}
	}
}

// personal judges a role that people take.
func (w *world) personal(r Resource, s statement) {
	if r.Values.Int("max_session_duration") > 3600 {
		w.breaks(r, "its credentials last longer than an hour", "set max_session_duration = 3600")
	}
	if !r.Values.Unknown("permissions_boundary") && r.Values.Text("permissions_boundary") == "" {
		w.breaks(r, "people get it without a boundary", "set permissions_boundary")
	}
	if !w.SecondFactorElsewhere && len(s.Principal.Kinds["Federated"]) == 0 && !s.secondFactor() {
		w.breaks(r, "it can be assumed without a second factor", "require aws:MultiFactorAuthPresent to be true")
	}
}
