package policy

import (
	"cmp"
	"path"
	"slices"
	"strings"
)

// Grant is that the instances of a service may read a secret.
type Grant struct {
	Service, Secret string // names
}

// Readers are which service may read which secret: from the roles of instances,
// what stands in them and what is attached to them.
func Readers(resources []Resource) []Grant {
	w := newWorld(resources)
	var all []Grant
	for _, group := range w.of("aws_autoscaling_group") {
		template, err := w.templateOf(group)
		if err != nil {
			continue
		}
		service := cmp.Or(group.Values.Tag(tagService), template.Values.Tag(tagService), group.Values.Text("name"))
		for _, d := range w.policiesOf(w.roleOf(template)) {
			for _, secret := range w.of("aws_secretsmanager_secret") {
				if d.lets("secretsmanager:GetSecretValue", secret.Values.Text("arn")) {
					all = append(all, Grant{service, secret.Values.Text("name")})
				}
			}
		}
	}
	slices.SortFunc(all, func(a, b Grant) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Secret, b.Secret))
	})
	return slices.Compact(all)
}

// roleOf is the role of the instances of a launch template.
func (w *world) roleOf(template Resource) Resource {
	of := template.Values.Block("iam_instance_profile")
	profile, ok := w.with("aws_iam_instance_profile", "arn", of.Text("arn"))
	if !ok {
		profile, _ = w.with("aws_iam_instance_profile", "name", of.Text("name"))
	}
	role, _ := w.with("aws_iam_role", "name", profile.Values.Text("role"))
	return role
}

// policiesOf are the policies that a role has of its own, and those attached to it.
func (w *world) policiesOf(role Resource) []document {
	var all []document
	add := func(text string) {
		if d, err := parse(text); err == nil {
			all = append(all, d)
		}
	}
	has := func(r Resource) bool {
		name := r.Values.Text("role")
		return name != "" && (name == role.Values.Text("name") || name == role.Values.Text("id"))
	}
	for _, r := range w.of("aws_iam_role_policy") {
		if has(r) {
			add(r.Values.Text("policy"))
		}
	}
	for _, r := range w.of("aws_iam_role_policy_attachment") {
		if has(r) {
			attached, _ := w.with("aws_iam_policy", "arn", r.Values.Text("policy_arn"))
			add(attached.Values.Text("policy"))
		}
	}
	for _, inline := range role.Values.Blocks("inline_policy") {
		add(inline.Text("policy"))
	}
	return all
}

// lets: a statement allows it; conditions and denials are not asked, so it could
// say too much, never too little.
func (d document) lets(action, resource string) bool {
	return slices.ContainsFunc(d.Statement, func(s statement) bool {
		acts := matches(s.Action, action) || len(s.NotAction) > 0 && !matches(s.NotAction, action)
		on := matches(s.Resource, resource) || len(s.NotResource) > 0 && !matches(s.NotResource, resource)
		return s.Effect == "Allow" && acts && on
	})
}

// matches: one of the patterns of IAM does; their wildcards go over slashes.
func matches(patterns texts, s string) bool {
	flat := strings.NewReplacer("/", "\x00", "[", "\x01", "\\", "\x02").Replace
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, err := path.Match(flat(strings.ToLower(p)), flat(strings.ToLower(s)))
		return err == nil && ok
	})
}
