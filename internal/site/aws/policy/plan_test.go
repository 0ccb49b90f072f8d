package policy_test

import (
	"slices"
	"strings"
	"testing"

	"godwit/internal/landscape"
	"godwit/internal/site/aws/policy"
	"godwit/internal/site/aws/terraform/tofutest"
)

// stall is the smallest landscape that somebody can reach.
const stall = `
landscape "stall" {}
environment "market" { network = "10.60.0.0/20" }
service "soup" {
  image = "./soup"
  port  = 8080
}
ingress "soup" {
  host    = "soup.stall.example"
  service = service.soup
}
aws {
  region = "eu-central-1"
  domain = "stall.example"
  oncall = ["oncall@stall.example"]
}
`

const market = "environments/market"

// TestPlan: a plan is judged as far as it is known, and no further.
func TestPlan(t *testing.T) {
	t.Parallel()
	l := parse(t, stall)
	w := workspace(t, l)
	w.Init(market)
	t.Run("what is not known breaks no rule", func(t *testing.T) {
		planned := policy.FromPlan(w.Plan(market, people))
		if len(planned) < 100 {
			t.Errorf("%d resources are planned", len(planned))
		}
		for _, v := range policy.Check(planned, policy.Expect{Protected: true}) {
			t.Error(v)
		}
		if _, err := policy.Reach(planned); err == nil || !strings.Contains(err.Error(), "known") {
			t.Errorf("who reaches whom cannot be known yet: %v", err)
		}
	})
	t.Run("what is known does", func(t *testing.T) { badPlan(t, w) })
	w.Apply(market, people)
	t.Run("nothing changes", func(t *testing.T) {
		planned := tree{t, new([]policy.Resource)}
		*planned.all = policy.FromPlan(w.Plan(market, people))
		if got, want := planned.ways(), declared(l, "market"); !slices.Equal(got, want) {
			t.Errorf("reachable %q, declared %q", got, want)
		}
		for _, v := range policy.Check(*planned.all, policy.Expect{}) {
			t.Error(v)
		}
	})
	t.Run("by hand", func(t *testing.T) { byHand(t, w, l) })
}

// bad are resources that depend on what is not made yet, and are wrong all the same.
const bad = `
resource "aws_vpc_security_group_ingress_rule" "bad" {
  security_group_id = aws_security_group.service_soup.id
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 8080
  to_port           = 8080
}

resource "aws_launch_template" "bad" {
  name                   = "bad"
  image_id               = "ami-0123456789abcdef0"
  instance_type          = "t3.small"
  vpc_security_group_ids = [aws_security_group.service_soup.id]
}

resource "aws_iam_role_policy" "bad" {
  role   = "somebody"
  policy = jsonencode({ Statement = [{ Effect = "Allow", Action = "*", Resource = "*" }] })
}

resource "aws_autoscaling_group" "bad" {
  max_size            = 1
  min_size            = 1
  vpc_zone_identifier = module.network.private_subnet_ids
  launch_template {
    id      = aws_launch_template.bad.id
    version = "$Latest"
  }
}
`

func badPlan(t *testing.T, w *tofutest.Workspace) {
	w.Put(market+"/bad.tf", []byte(bad))
	defer w.Put(market+"/bad.tf", nil)
	var found []string
	for _, v := range policy.Check(policy.FromPlan(w.Plan(market, people)), policy.Expect{}) {
		found = append(found, v.Rule+" "+v.Address)
	}
	want := []string{"open-ingress aws_vpc_security_group_ingress_rule.bad", "imds aws_launch_template.bad",
		"pinned-version aws_autoscaling_group.bad", "encryption aws_launch_template.bad", "iam-wildcard aws_iam_role_policy.bad"}
	slices.Sort(found)
	slices.Sort(want)
	if found = slices.Compact(found); !slices.Equal(found, want) {
		t.Errorf("%q\nwant %q", found, want)
	}
}

// byHand: AWS shows in a group what somebody opened in its console, and
// OpenTofu, which does not manage it, lets it be. The state tells. A plan shows
// what was: a rule that it takes away would be in it still.
func byHand(t *testing.T, w *tofutest.Workspace, l *landscape.Landscape) {
	w.Alter(func(world tofutest.World) {
		for _, r := range world.Of("aws_security_group") {
			if r.State["name"] == "stall-market-soup-service" {
				r.State["ingress"] = []any{map[string]any{"description": "", "protocol": "tcp", "from_port": 22, "to_port": 22, "self": false,
					"cidr_blocks": []any{"0.0.0.0/0"}, "ipv6_cidr_blocks": []any{}, "prefix_list_ids": []any{}, "security_groups": []any{}}}
			}
		}
	})
	if found := policy.Check(policy.FromPlan(w.Plan(market, people)), policy.Expect{}); len(found) > 0 {
		t.Error(found)
	}
	w.Apply(market, people)
	var rules []string
	for _, v := range policy.Check(policy.FromState(w.State(market)), policy.Expect{}) {
		rules = append(rules, v.Rule)
		if v.Address != "aws_security_group.service_soup" {
			t.Error(v)
		}
	}
	if !slices.Equal(rules, []string{"open-ingress", "ssh"}) {
		t.Errorf("%q", rules)
	}
}

// TestPlanOfGateways: what a plan says of gateways and names breaks no rule
// while nobody knows yet what AWS will call their sets.
func TestPlanOfGateways(t *testing.T) {
	t.Parallel()
	l := bistro(t)
	w := workspace(t, l)
	w.Init(production)
	planned := policy.FromPlan(w.Plan(production, people))
	for _, v := range policy.Check(planned, expected(l, production)) {
		t.Error(v)
	}
	if found := policy.Check(planned, policy.Expect{Protected: true}); len(found) > 0 {
		t.Errorf("%s: nobody knows yet who is left out", found)
	}
}
