package policy_test

import (
	"slices"
	"strings"
	"testing"

	"godwit/internal/landscape"
	"godwit/internal/site/aws/convention"
	"godwit/internal/site/aws/policy"
)

// TestReaders: a service reads the secrets of the databases that it needs, and
// its own, and nobody else's.
func TestReaders(t *testing.T) {
	t.Parallel()
	for name, l := range map[string]*landscape.Landscape{"bistro": bistro(t), "grill": parse(t, grill)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			scope := convention.Scope{Landscape: l.Name, Environment: "production"}
			var want []policy.Grant
			for _, s := range l.Services {
				if name == "grill" && s.Name == "front" { // takes SESSION_KEY from outside
					want = append(want, policy.Grant{Service: s.Name, Secret: scope.ServiceSecret(s.Name)})
				}
				for _, need := range s.Needs {
					if need.Kind == "database" {
						want = append(want, policy.Grant{Service: s.Name, Secret: scope.DatabaseSecret(need.Name)})
					}
				}
			}
			same(t, policy.Readers(*made(t, l, production).all), want)
		})
	}
}

func same(t *testing.T, got, want []policy.Grant) {
	t.Helper()
	text := func(all []policy.Grant) string {
		var lines []string
		for _, g := range all {
			lines = append(lines, g.Service+" reads "+g.Secret)
		}
		slices.Sort(lines)
		return strings.Join(lines, "\n")
	}
	if text(got) != text(want) {
		t.Errorf("%s\nwant\n%s", text(got), text(want))
	}
}

// TestReadersFollowWhatIsThere: each way in which a role comes to more.
func TestReadersFollowWhatIsThere(t *testing.T) {
	t.Parallel()
	const secrets = "module.service_till.aws_iam_role_policy.secrets[0]"
	menu := policy.Grant{Service: "till", Secret: "bistro/test/database/menu"}
	for name, c := range map[string]struct {
		make func(r tree)
		more bool
	}{
		"by name": {func(r tree) {
			r.set(secrets, "policy", allowing(`"Action":"secretsmanager:Get*","Resource":["`+r.get("module.database_menu.aws_secretsmanager_secret.connection", "arn")+`","*till*"]`))
		}, true},
		"all":            {func(r tree) { r.set(secrets, "policy", allowing(`"Action":"*","Resource":"*"`)) }, true},
		"all but others": {func(r tree) { r.set(secrets, "policy", allowing(`"NotAction":"iam:*","NotResource":"arn:aws:s3:::a"`)) }, true},
		"in the role": {func(r tree) {
			r.the("module.service_till.aws_iam_role.this").Values["inline_policy"] = []any{map[string]any{"policy": allowing(`"Action":"*","Resource":"*"`)}}
		}, true},
		"attached": {func(r tree) {
			r.set("aws_iam_policy.look", "policy", allowing(`"Action":"*","Resource":"*"`))
			r.add("aws_iam_role_policy_attachment", policy.Values{"role": r.get("module.service_till.aws_iam_role.this", "name"), "policy_arn": r.get("aws_iam_policy.look", "arn")})
		}, true},
		"another's role": {func(r tree) {
			r.set(template, "iam_instance_profile/arn", nil)
			r.set(template, "iam_instance_profile/name", r.get("module.service_menu.aws_iam_instance_profile.this", "name"))
		}, true},
		"refused": {func(r tree) {
			r.add("aws_iam_role_policy", policy.Values{"role": r.get("module.service_till.aws_iam_role.this", "name"),
				"policy": `{"Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}`})
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := made(t, bistro(t), test)
			if slices.Contains(policy.Readers(*r.all), menu) {
				t.Fatal("till reads it already")
			}
			c.make(r)
			if got := slices.Contains(policy.Readers(*r.all), menu); got != c.more {
				t.Errorf("till reads menu's secret: %t", got)
			}
		})
	}
}
