package tofutest

import (
	"strings"
	"testing"
)

// What the AWS provider refuses beyond its schema, as far as the schema provider
// does: all in one tree, for each command costs half a second.
func TestRules(t *testing.T) {
	t.Parallel()
	cases := []struct{ body, says string }{
		{`resource "aws_iam_role" "a" {
  name               = "a"
  name_prefix        = "b"
  assume_role_policy = "{}"
}`, "name conflicts with name_prefix"},
		{`resource "aws_db_instance" "a" {
  instance_class              = "db.t4g.micro"
  password                    = "x"
  manage_master_user_password = true
}`, "password conflicts with manage_master_user_password"},
		{`resource "aws_lb" "a" {
  name    = "a-load-balancer-of-more-than-32-characters"
  subnets = ["subnet-1"]
}`, "has 42 characters, and may have 1 to 32"},
		{`resource "aws_lb_target_group" "a" { name = "-a" }`, `name "-a" is not of the form`},
		{`resource "aws_vpc_security_group_ingress_rule" "a" {
  security_group_id = "sg-1"
  ip_protocol       = "tcp"
}`, "exactly one of cidr_ipv4, cidr_ipv6, prefix_list_id, referenced_security_group_id has to be given, not 0"},
		{`resource "aws_vpc_security_group_egress_rule" "a" {
  security_group_id = "sg-1"
  ip_protocol       = "-1"
  cidr_ipv4         = "10.0.0.1/8"
}`, `"10.0.0.1/8" is not a network: its first address is 10.0.0.0/8`},
		{`resource "aws_vpc" "a" { cidr_block = "10.0.0.0/8" }`, "a network has between /16 and /28"},
		{`resource "aws_iam_policy" "a" { policy = "{ not json }" }`, "policy is not a JSON object"},
		{`resource "aws_cloudwatch_log_group" "a" { retention_in_days = 8 }`, "retention_in_days can't be 8"},
		{`resource "aws_flow_log" "a" { traffic_type = "SOME" }`, `traffic_type can't be "SOME"`},
		{webACL("action {\n      block {}\n    }\n    override_action {\n      none {}\n    }", "geo_match_statement {\n        country_codes = [\"DE\"]\n      }"),
			"needs exactly one of action and override_action"},
		{webACL("action {\n      block {}\n    }", ""), "a statement holds exactly one condition, not 0"},
	}
	tree := map[string][]byte{"root/main.tf": []byte(head)}
	var says []string
	for i, c := range cases {
		name := string(rune('a' + i))
		tree["root/"+name+".tf"] = []byte(strings.Replace(c.body, `" "a" {`, `" "`+name+`" {`, 1) + "\n")
		says = append(says, c.says)
	}
	w := New(t, tree)
	w.Init("root")
	w.Refused("root", []string{"validate", "-no-color"}, says...)
}

func webACL(action, statement string) string {
	const visibility = "visibility_config {\n    cloudwatch_metrics_enabled = true\n    metric_name = \"a\"\n    sampled_requests_enabled = true\n  }\n"
	return "resource \"aws_wafv2_web_acl\" \"a\" {\n  name = \"a\"\n  scope = \"REGIONAL\"\n  default_action {\n    allow {}\n  }\n  " +
		visibility + "  rule {\n    name = \"r\"\n    priority = 1\n    " + action + "\n    statement {\n      " + statement + "\n    }\n    " + visibility + "  }\n}"
}

// What is not known yet is not judged: a rule about it would refuse what is right.
func TestRulesWait(t *testing.T) {
	t.Parallel()
	w := New(t, root(`variable "origin" {
  type = string
}

resource "aws_iam_policy" "a" {
  policy = var.origin
}

resource "aws_vpc_security_group_ingress_rule" "a" {
  security_group_id            = "sg-1"
  ip_protocol                  = "tcp"
  referenced_security_group_id = var.origin
}
`))
	w.Init("root")
	w.Validate("root")
	w.Refused("root", []string{"plan", "-no-color", "-var=origin=x"}, "policy is not a JSON object")
}

// The one data source that configurations depend on word for word.
func TestPolicyDocument(t *testing.T) {
	t.Parallel()
	w := New(t, root(`data "aws_iam_policy_document" "a" {
  statement {
    sid       = "Read"
    actions   = ["s3:GetObject"]
    resources = ["arn:aws:s3:::till/*", "arn:aws:s3:::menu/*"]
    principals {
      type        = "Service"
      identifiers = ["ec2.amazonaws.com"]
    }
    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["true"]
    }
  }
}

output "json" {
  value = data.aws_iam_policy_document.a.minified_json
}
`))
	w.Init("root")
	w.Apply("root", nil)
	const want = `{"Statement":[{"Action":"s3:GetObject","Condition":{"Bool":{"aws:SecureTransport":"true"}},"Effect":"Allow",` +
		`"Principal":{"Service":"ec2.amazonaws.com"},"Resource":["arn:aws:s3:::till/*","arn:aws:s3:::menu/*"],"Sid":"Read"}],"Version":"2012-10-17"}`
	if got := w.State("root").Values.Outputs["json"].Value; got != want {
		t.Errorf("document %s\nwant     %s", got, want)
	}
}

// Statements that hold others cost much and are offered to trees that use them: a
// tree may begin to.
func TestStatementsWithin(t *testing.T) {
	t.Parallel()
	const plain = "geo_match_statement {\n        country_codes = [\"DE\"]\n      }"
	block := "action {\n      block {}\n    }"
	w := New(t, root(webACL(block, plain)))
	w.Init("root")
	w.Apply("root", nil)
	w.Put("root/main.tf", []byte(head+webACL(block, "not_statement {\n        statement {\n      "+plain+"\n        }\n      }")))
	w.Apply("root", nil)
	w.Same("root", nil)
	w.Put("root/main.tf", []byte(head+webACL(block, plain)))
	w.Apply("root", nil)
	w.Same("root", nil)
	w.Put("root/main.tf", []byte(head+webACL(block, "not_statement {\n        statement {\n          nothing {}\n        }\n      }")))
	w.Refused("root", []string{"validate", "-no-color"}, "Unsupported block type", `"nothing"`)
}
