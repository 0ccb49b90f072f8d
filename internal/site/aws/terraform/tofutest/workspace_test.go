package tofutest

import (
	"strings"
	"testing"

	tfjson "github.com/hashicorp/terraform-json"
)

const head = `terraform {
  required_version = ">= 1.6"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.0"
    }
  }
  backend "s3" {}
}

provider "aws" {
  region = "eu-central-1"
  default_tags {
    tags = { Landscape = "bistro" }
  }
}

`

const network = `variable "zones" {
  type    = number
  default = 2
}

data "aws_availability_zones" "here" {
  state = "available"
}

resource "aws_vpc" "main" {
  cidr_block = "10.0.0.0/16"
}

resource "aws_subnet" "private" {
  count             = var.zones
  vpc_id            = aws_vpc.main.id
  cidr_block        = cidrsubnet(aws_vpc.main.cidr_block, 8, count.index)
  availability_zone = data.aws_availability_zones.here.names[count.index]
}

resource "aws_security_group" "till" {
  name        = "till"
  description = "the till"
  vpc_id      = aws_vpc.main.id
}

resource "aws_vpc_security_group_ingress_rule" "kitchen" {
  security_group_id            = aws_security_group.till.id
  referenced_security_group_id = aws_security_group.till.id
  ip_protocol                  = "tcp"
  from_port                    = 8080
  to_port                      = 8080
}

resource "aws_launch_template" "till" {
  name                   = "till"
  image_id               = "ami-0123456789abcdef0"
  instance_type          = "t4g.small"
  vpc_security_group_ids = [aws_security_group.till.id]
  metadata_options {
    http_tokens = "required"
  }
}

resource "aws_autoscaling_group" "till" {
  name                = "till"
  min_size            = 1
  max_size            = 4
  vpc_zone_identifier = aws_subnet.private[*].id
  launch_template {
    id      = aws_launch_template.till.id
    version = aws_launch_template.till.latest_version
  }
  lifecycle {
    ignore_changes = [desired_capacity]
  }
}

output "group" {
  value = aws_autoscaling_group.till.arn
}
`

func root(body string) map[string][]byte {
	return map[string][]byte{"root/main.tf": []byte(head + body)}
}

// What OpenTofu has to refuse, so that a green tree means something.
func TestRefused(t *testing.T) {
	for name, c := range map[string]struct {
		body string
		says []string
	}{
		"argument":      {`resource "aws_vpc" "a" { cidr = "10.0.0.0/16" }`, []string{"Unsupported argument", `"cidr"`}},
		"type":          {`resource "aws_vpc" "a" { enable_dns_support = "perhaps" }`, []string{"Incorrect attribute value type", "a bool is required"}},
		"requirement":   {`resource "aws_subnet" "a" {}`, []string{"Missing required argument", `"vpc_id" is required`}},
		"block":         {"resource \"aws_launch_template\" \"a\" {\n  metadata {}\n}", []string{"Unsupported block type"}},
		"block missing": {`resource "aws_s3_bucket_versioning" "a" { bucket = "b" }`, []string{"Insufficient versioning_configuration blocks"}},
		"block twice": {"resource \"aws_launch_template\" \"a\" {\n  monitoring {}\n  monitoring {}\n}",
			[]string{"Too many monitoring blocks"}},
		"within a block": {"resource \"aws_launch_template\" \"a\" {\n  metadata_options {\n    http_token = \"required\"\n  }\n}",
			[]string{"Unsupported argument", `"http_token"`}},
		"read only":   {`resource "aws_vpc" "a" { arn = "arn:aws:ec2:x" }`, []string{"Value for unconfigurable attribute"}},
		"reference":   {`resource "aws_subnet" "a" { vpc_id = aws_vpc.a.id }`, []string{"Reference to undeclared resource"}},
		"attribute":   {"resource \"aws_vpc\" \"a\" {}\noutput \"o\" { value = aws_vpc.a.identifier }", []string{"Unsupported attribute"}},
		"resource":    {`resource "aws_virtual_network" "a" {}`, []string{"Invalid resource type", "aws_virtual_network"}},
		"data source": {`data "aws_weather" "a" {}`, []string{"Invalid data source", "aws_weather"}},
		"WAF statement": {"resource \"aws_wafv2_rule_group\" \"a\" {\n  name = \"a\"\n  scope = \"REGIONAL\"\n  capacity = 1\n" +
			"  visibility_config {\n    cloudwatch_metrics_enabled = true\n    metric_name = \"a\"\n    sampled_requests_enabled = true\n  }\n" +
			"  rule {\n    name = \"a\"\n    priority = 1\n    statement {\n      rate_based_statement {\n        limits = 1\n      }\n    }\n" +
			"    visibility_config {\n      cloudwatch_metrics_enabled = true\n      metric_name = \"a\"\n      sampled_requests_enabled = true\n    }\n  }\n}",
			[]string{`"limits"`, `"limit" is required`}},
		"secret output": {"resource \"aws_db_instance\" \"a\" {\n  instance_class = \"db.t4g.micro\"\n  password = \"x\"\n}\noutput \"o\" { value = aws_db_instance.a.password }",
			[]string{"Output refers to sensitive values"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := New(t, root(c.body))
			w.Init("root")
			w.Refused("root", []string{"validate", "-no-color"}, c.says...)
		})
	}
}

func TestFmt(t *testing.T) {
	w := New(t, map[string][]byte{"a/b.tf": []byte("locals {\n  a   = 1\n}\n")})
	w.Refused(".", []string{"fmt", "-check", "-recursive", "-diff", "-no-color"}, "a = 1")
	w.Put("a/b.tf", []byte("locals {\n  a = 1\n}\n"))
	w.Fmt()
}

// A whole life: made, unchanged, drifted, mended, changed, destroyed.
func TestLife(t *testing.T) {
	t.Parallel()
	w := New(t, root(network))
	w.Init("root")
	w.Validate("root")
	plan := w.Plan("root", nil)
	if n := len(plan.ResourceChanges); n != 7 {
		t.Errorf("%d changes are planned, want 7", n)
	}
	unknown(t, plan, "aws_subnet.private[0]", "vpc_id")
	w.Apply("root", nil)
	w.Same("root", nil)
	if group := w.State("root").Values.Outputs["group"]; !strings.HasSuffix(group.Value.(string), ":autoScalingGroupName/till") {
		t.Errorf("the group's output is %v", group.Value)
	}
	subnets := w.World().Of("aws_subnet")
	if len(subnets) != 2 || subnets[0].State["tags_all"].(map[string]any)["Landscape"] != "bistro" {
		t.Errorf("subnets %v", subnets)
	}
	drift(t, w)
	w.Destroy("root", nil)
	w.Empty()
}

func unknown(t *testing.T, plan *tfjson.Plan, address, name string) {
	t.Helper()
	for _, c := range plan.ResourceChanges {
		if c.Address == address {
			if after := c.Change.AfterUnknown.(map[string]any); after[name] != true {
				t.Errorf("%s.%s is known before it is made", address, name)
			}
			return
		}
	}
	t.Errorf("%s is not planned", address)
}

func drift(t *testing.T, w *Workspace) {
	t.Helper()
	set := func(kind, name string, value any) {
		w.Alter(func(world World) {
			for _, r := range world.Of(kind) {
				r.State[name] = value
			}
		})
	}
	set("aws_autoscaling_group", "desired_capacity", 3) // ignored: it is the group's own
	w.Same("root", nil)
	set("aws_autoscaling_group", "max_size", 40)
	if out := w.Differs("root", nil); !strings.Contains(out, "40 -> 4") {
		t.Errorf("the drift is not shown:\n%s", out)
	}
	w.Apply("root", nil)
	w.Same("root", nil)
	w.Alter(func(world World) { // gone
		for key, r := range world {
			if r.Type == "aws_vpc_security_group_ingress_rule" {
				delete(world, key)
			}
		}
	})
	if out := w.Differs("root", nil); !strings.Contains(out, "1 to add, 0 to change, 0 to destroy") {
		t.Errorf("what is gone is not made again:\n%s", out)
	}
	w.Apply("root", nil)
}

// A change of a launch template is a new version of it, which its group follows;
// another description is another security group, which its followers follow.
func TestChange(t *testing.T) {
	t.Parallel()
	w := New(t, root(network))
	w.Init("root")
	w.Apply("root", nil)
	w.Put("root/main.tf", []byte(head+strings.Replace(network, "t4g.small", "t4g.large", 1)))
	w.Apply("root", nil)
	w.Same("root", nil)
	version := func(want string) {
		t.Helper()
		group := w.World().Of("aws_autoscaling_group")[0]
		if v := group.State["launch_template"].([]any)[0].(map[string]any)["version"]; v != want {
			t.Errorf("the group is at version %v, want %s", v, want)
		}
	}
	version("2")
	w.Put("root/main.tf", []byte(head+strings.Replace(network, "the till", "the tills", 1)))
	if out := w.Differs("root", nil); !strings.Contains(out, "# forces replacement") {
		t.Errorf("a security group's description would be changed in place:\n%s", out)
	}
	w.Apply("root", Vars{"zones": "3"})
	w.Same("root", Vars{"zones": "3"})
	version("3")
	if n := len(w.World().Of("aws_subnet")); n != 3 {
		t.Errorf("%d subnets", n)
	}
}

// What is in use is not deleted: an order that AWS would refuse is found.
func TestInUse(t *testing.T) {
	t.Parallel()
	w := New(t, root(network))
	w.Init("root")
	w.Apply("root", nil)
	w.Put("root/main.tf", []byte(head+strings.Replace(network, "10.0.0.0/16", "10.1.0.0/16", 1)))
	w.Refused("root", []string{"apply", "-auto-approve", "-no-color"}, "DependencyViolation: subnet-", "used by aws_autoscaling_group/eu-central-1/till")
}

// Two roots that would manage the same thing: AWS has names once an account.
func TestNameTaken(t *testing.T) {
	t.Parallel()
	role := head + "resource \"aws_iam_role\" \"a\" {\n  name = \"till\"\n  assume_role_policy = jsonencode({ Version = \"2012-10-17\", Statement = [] })\n}\n"
	w := New(t, map[string][]byte{"one/main.tf": []byte(role), "two/main.tf": []byte(role)})
	w.Init("one")
	w.Init("two")
	w.Apply("one", nil)
	w.Refused("two", []string{"apply", "-auto-approve", "-no-color"}, "aws_iam_role/global/till already exists")
}
