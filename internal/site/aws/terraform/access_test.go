package terraform

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"unicode"

	tfjson "github.com/hashicorp/terraform-json"

	"godwit/internal/site/aws/convention"
	"godwit/internal/site/aws/terraform/tofutest"
)

// callAccess is a root that makes the roles of some environments: of two, of one
// whose name begins with another's, of a landscape whose name begins with those,
// and of the longest names.
const callAccess = `
provider "aws" {
  region = "eu-central-1"
}

variable "people" {
  type    = list(string)
  default = ["arn:aws:iam::123456789012:role/people"]
}

module "test" {
  source               = "../modules/access"
  landscape            = "bistro"
  environment          = "test"
  protected            = false
  developer_principals = var.people
  admin_principals     = []
  key_arn              = "arn:aws:kms:eu-central-1:123456789012:key/test"
}

module "production" {
  source                   = "../modules/access"
  landscape                = "bistro"
  environment              = "production"
  protected                = true
  developer_principals     = var.people
  admin_principals         = var.people
  mfa_at_identity_provider = true
  key_arn                  = "arn:aws:kms:eu-central-1:123456789012:key/production"
}

module "test_x" {
  source               = "../modules/access"
  landscape            = "bistro"
  environment          = "test-x"
  protected            = false
  developer_principals = var.people
  admin_principals     = var.people
  key_arn              = "arn:aws:kms:eu-central-1:123456789012:key/test-x"
}

module "bistro_test" {
  source               = "../modules/access"
  landscape            = "bistro-test"
  environment          = "y"
  protected            = false
  developer_principals = var.people
  admin_principals     = var.people
  key_arn              = "arn:aws:kms:eu-central-1:123456789012:key/bistro-test"
}
`

func accessTree(t *testing.T) Tree {
	tree := Tree{}
	if err := addModules(tree); err != nil {
		t.Fatal(err)
	}
	f := newFile()
	writeVersions(f)
	tree["roles/main.tf"] = append(f.bytes(), callAccess...)
	return tree
}

// role is all that decides what its holder may do.
type role struct {
	boundary policyDocument
	policies []policyDocument
}

func roleOf(t *testing.T, all map[string]*tfjson.StateResource, module, name string) role {
	t.Helper()
	address := "module." + module + ".aws_iam_role." + name + "[0]"
	r := role{boundary: parsePolicy(t, attribute(t, all, "module."+module+".aws_iam_policy.boundary", "policy"))}
	if attribute(t, all, address, "permissions_boundary") != attribute(t, all, "module."+module+".aws_iam_policy.boundary", "arn") {
		t.Errorf("%s has no boundary", address)
	}
	byARN := map[string]string{}
	for _, resource := range all {
		if resource.Type == "aws_iam_policy" {
			byARN[resource.AttributeValues["arn"].(string)] = resource.AttributeValues["policy"].(string)
		}
	}
	for _, resource := range all {
		if resource.Type == "aws_iam_role_policy_attachment" && resource.AttributeValues["role"] == attribute(t, all, address, "name") {
			r.policies = append(r.policies, parsePolicy(t, byARN[resource.AttributeValues["policy_arn"].(string)]))
		}
	}
	return r
}

func TestAccess(t *testing.T) {
	t.Parallel()
	w := tofutest.New(t, accessTree(t))
	w.Init("roles")
	w.Apply("roles", nil)
	w.Same("roles", nil)
	all := made(t, w.State("roles"))

	if _, ok := all["module.test.aws_iam_role.admin[0]"]; ok {
		t.Error("there is a role that nobody may take")
	}
	trust := parsePolicy(t, attribute(t, all, "module.test.aws_iam_role.developer[0]", "assume_role_policy"))
	for _, c := range []struct {
		context map[string]string
		want    string
	}{
		{map[string]string{"aws:MultiFactorAuthPresent": "true", "aws:MultiFactorAuthAge": "60"}, "Allow"},
		{map[string]string{"aws:MultiFactorAuthPresent": "true", "aws:MultiFactorAuthAge": "7200"}, ""},
		{map[string]string{"aws:MultiFactorAuthPresent": "false"}, ""},
		{nil, ""},
	} {
		if got := (decideTrust(t, trust, c.context)); got != c.want {
			t.Errorf("assuming with %v: %q, want %q", c.context, got, c.want)
		}
	}
	for address, r := range all {
		if r.Type == "aws_iam_policy" {
			if n := size(attribute(t, all, address, "policy")); n > 6144 {
				t.Errorf("%s has %d characters, and AWS takes 6144", address, n)
			}
		}
	}
	developer, operator := roleOf(t, all, "test", "developer"), roleOf(t, all, "production", "admin")
	reader := roleOf(t, all, "production", "developer")
	for _, c := range accessCases() {
		for name, pair := range map[string]struct {
			role
			environment string
			want        bool
		}{
			"developer of test":           {developer, "test", c.developer},
			"developer of production":     {reader, "production", c.reader},
			"administrator of production": {operator, "production", c.admin},
		} {
			r := c.in(pair.environment)
			if got := allowed(t, r, &pair.boundary, pair.policies...); got != pair.want {
				t.Errorf("%s, %s: %s on %s allowed %v", name, c.name, r.action, r.resource, got)
			}
		}
	}
	t.Run("apart", func(t *testing.T) { apart(t, all) })
	t.Run("boundary", func(t *testing.T) { boundaryHolds(t, developer.boundary) })
	for _, bad := range []string{`["*"]`, `["arn:aws:iam::123456789012:root"]`, `["arn:aws:iam::123456789012:role/*"]`} {
		w.Refused("roles", []string{"plan", "-input=false", "-no-color", "-var=people=" + bad}, "no wildcard")
	}
}

func decideTrust(t *testing.T, trust policyDocument, context map[string]string) string {
	for i := range trust.Statement {
		trust.Statement[i].Resource = oneOrMore{"*"} // a trust policy has no resource: it is the role
	}
	return decide(t, request{"sts:AssumeRole", "role", context}, trust)
}

// accessCase is a request; OWN and OTHER stand for the environment whose role asks
// and for another one.
type accessCase struct {
	name, action, resource   string
	tag                      string // environment that the resource is tagged with
	context                  []string
	developer, reader, admin bool // of test, which is not protected; of production, which is
}

func (c accessCase) in(environment string) request {
	other := map[string]string{"test": "production", "production": "test"}[environment]
	fill := strings.NewReplacer("OWN", environment, "OTHER", other, "HERE", testRegion+":"+testAccount).Replace
	context := map[string]string{"aws:RequestedRegion": testRegion}
	if c.tag != "" {
		context["aws:ResourceTag/godwit:landscape"] = "bistro"
		context["aws:ResourceTag/godwit:environment"] = fill(c.tag)
	}
	for i := 0; i < len(c.context); i += 2 {
		context[c.context[i]] = fill(c.context[i+1])
	}
	return request{c.action, fill(c.resource), context}
}

func accessCases() []accessCase {
	const (
		group    = "arn:aws:autoscaling:HERE:autoScalingGroup:u-u-i-d:autoScalingGroupName/bistro-OWN-till-blue"
		template = "arn:aws:ec2:HERE:launch-template/lt-1"
		rule     = "arn:aws:elasticloadbalancing:HERE:listener-rule/app/bistro-OWN-public/1/2/3"
		state    = "arn:aws:s3:::bistro-state-123456789012-eu-central-1"
		audit    = "arn:aws:s3:::bistro-audit-123456789012-eu-central-1"
		secret   = "arn:aws:secretsmanager:HERE:secret:bistro/"
		role     = "arn:aws:iam::123456789012:role/bistro-instances/"
	)
	return []accessCase{
		{"looks at groups", "autoscaling:DescribeAutoScalingGroups", "*", "", nil, true, true, true},
		{"looks at another region", "autoscaling:DescribeAutoScalingGroups", "*", "", []string{"aws:RequestedRegion", "us-east-1"}, false, false, false},
		{"reads the log", "logs:GetLogEvents", "arn:aws:logs:HERE:log-group:/bistro/OWN/till:log-stream:i-1", "", nil, true, true, true},
		{"reads another's log", "logs:GetLogEvents", "arn:aws:logs:HERE:log-group:/bistro/OTHER/till:log-stream:i-1", "", nil, false, false, false},
		{"deletes the log", "logs:DeleteLogGroup", "arn:aws:logs:HERE:log-group:/bistro/OWN/till", "OWN", nil, false, false, false},
		{"reads a secret", "secretsmanager:GetSecretValue", secret + "OWN/database/till-abc", "OWN", nil, false, false, false},
		{"reads another's secret", "secretsmanager:GetSecretValue", secret + "OTHER/database/till-abc", "OTHER", nil, false, false, false},

		{"scales", "autoscaling:UpdateAutoScalingGroup", group, "OWN", nil, true, false, true},
		{"scales another's", "autoscaling:UpdateAutoScalingGroup", group, "OTHER", nil, false, false, false},
		{"scales what is nobody's", "autoscaling:UpdateAutoScalingGroup", group, "", nil, false, false, false},
		{"makes a version", "ec2:CreateLaunchTemplateVersion", template, "OWN", nil, true, false, true},
		{"makes another's version", "ec2:CreateLaunchTemplateVersion", template, "OTHER", nil, false, false, false},
		{"launches in its subnet", "ec2:RunInstances", "arn:aws:ec2:HERE:subnet/s", "OWN", nil, true, false, true},
		{"launches in another's subnet", "ec2:RunInstances", "arn:aws:ec2:HERE:subnet/s", "OTHER", nil, false, false, false},
		{"launches from a template", "ec2:RunInstances", "arn:aws:ec2:HERE:instance/*", "", []string{"ec2:LaunchTemplate", template}, true, false, true},
		{"launches without", "ec2:RunInstances", "arn:aws:ec2:HERE:instance/*", "", nil, false, false, false},
		{"launches a foreign image", "ec2:RunInstances", "arn:aws:ec2:eu-central-1::image/ami-1", "", []string{"ec2:LaunchTemplate", template}, false, false, false},
		{"launches as a service", "iam:PassRole", role + "OWN/bistro-OWN-till", "", []string{"iam:PassedToService", "ec2.amazonaws.com"}, true, false, true},
		{"launches as another's", "iam:PassRole", role + "OTHER/bistro-OTHER-till", "", []string{"iam:PassedToService", "ec2.amazonaws.com"}, false, false, false},
		{"launches as an administrator", "iam:PassRole", "arn:aws:iam::123456789012:role/bistro-OWN-admin", "", []string{"iam:PassedToService", "ec2.amazonaws.com"}, false, false, false},
		{"hands a role to something else", "iam:PassRole", role + "OWN/bistro-OWN-till", "", []string{"iam:PassedToService", "lambda.amazonaws.com"}, false, false, false},
		{"shifts", "elasticloadbalancing:ModifyRule", rule, "OWN", nil, true, false, true},
		{"shifts another's", "elasticloadbalancing:ModifyRule", rule, "OTHER", nil, false, false, false},
		{"labels over the border", "autoscaling:CreateOrUpdateTags", group, "OWN", []string{"aws:RequestTag/godwit:environment", "OTHER"}, false, false, false},
		{"labels a release", "autoscaling:CreateOrUpdateTags", group, "OWN", []string{"aws:RequestTag/godwit:release", "7"}, true, false, true},
		{"takes a label away", "autoscaling:DeleteTags", group, "OWN", []string{"aws:TagKeys", "godwit:environment"}, false, false, false},
		{"writes the journal", "s3:PutObject", state + "/rollouts/OWN/till.json", "", nil, true, false, true},
		{"writes another's journal", "s3:PutObject", state + "/rollouts/OTHER/till.json", "", nil, false, false, false},
		{"reads a state", "s3:GetObject", state + "/terraform/OWN.tfstate", "", nil, false, false, false},
		{"opens the journal", "kms:Decrypt", "arn:aws:kms:HERE:key/k", "", []string{"kms:ViaService", "s3.eu-central-1.amazonaws.com", "kms:ResourceAliases", "alias/bistro-account"}, true, false, true},
		{"opens the audit", "kms:Decrypt", "arn:aws:kms:HERE:key/k", "", []string{"kms:ViaService", "s3.eu-central-1.amazonaws.com", "kms:ResourceAliases", "alias/bistro-audit"}, false, false, false},

		{"ends an instance", "ec2:TerminateInstances", "arn:aws:ec2:HERE:instance/i-1", "OWN", nil, false, false, true},
		{"ends another's instance", "ec2:TerminateInstances", "arn:aws:ec2:HERE:instance/i-1", "OTHER", nil, false, false, false},
		{"restarts a database", "rds:RebootDBInstance", "arn:aws:rds:HERE:db:bistro-OWN-till", "OWN", nil, false, false, true},
		{"deletes a database", "rds:DeleteDBInstance", "arn:aws:rds:HERE:db:bistro-OWN-till", "OWN", nil, false, false, false},
		{"makes a user", "iam:CreateUser", "arn:aws:iam::123456789012:user/x", "", nil, false, false, false},
		{"leaves the boundary", "iam:DeleteRolePermissionsBoundary", "arn:aws:iam::123456789012:role/bistro-OWN-admin", "", nil, false, false, false},
		{"rewrites the boundary", "iam:CreatePolicyVersion", "arn:aws:iam::123456789012:policy/bistro-OWN-boundary", "", nil, false, false, false},
		{"stops the trail", "cloudtrail:StopLogging", "arn:aws:cloudtrail:HERE:trail/bistro-audit", "", nil, false, false, false},
		{"reads the audit", "s3:GetObject", audit + "/AWSLogs/x", "", nil, false, false, false},
	}
}

// boundaryHolds: with every right in the world, a role of the environment does not
// leave it.
func boundaryHolds(t *testing.T, boundary policyDocument) {
	everything := policyDocument{Statement: []policyStatement{{Effect: "Allow", Action: oneOrMore{"*"}, Resource: oneOrMore{"*"}}}}
	inside := map[string]bool{}
	for _, c := range accessCases() {
		r := c.in("test")
		got := allowed(t, r, &boundary, everything)
		inside[c.name] = got
		foreign := strings.Contains(c.name, "another") || strings.Contains(c.name, "border") || strings.Contains(c.name, "boundary") ||
			strings.Contains(c.name, "audit") && c.action != "kms:Decrypt" || strings.Contains(c.name, "trail") || strings.Contains(c.name, "user")
		// Names of other log groups carry no tag in a request: logs are left to the
		// policies of roles.
		if foreign && got && c.action != "logs:GetLogEvents" {
			t.Errorf("%s: the boundary lets %s on %s through", c.name, r.action, r.resource)
		}
	}
	for _, name := range []string{"reads a secret", "scales", "shifts", "writes the journal", "launches as a service"} {
		if !inside[name] {
			t.Errorf("%s: the boundary refuses what roles of the environment have to do", name)
		}
	}
}

// size is what AWS counts: without white space.
func size(policy string) int {
	n := 0
	for _, r := range policy {
		if !unicode.IsSpace(r) {
			n++
		}
	}
	return n
}

// TestOperatorPolicy: what docs/aws-operator-*.json let and do not let an operator do.
func TestOperatorPolicy(t *testing.T) {
	t.Parallel()
	read := func(name string) policyDocument {
		b, err := os.ReadFile("../../../../docs/" + name)
		if err != nil {
			t.Fatal(err)
		}
		longest := strings.NewReplacer("LANDSCAPE", strings.Repeat("l", longestLandscape), "ACCOUNT", testAccount, "REGION", "ap-southeast-1",
			"DOMAIN", strings.Repeat("d", 60)+".example").Replace(string(b))
		if n := size(longest); n > 6144 {
			t.Errorf("%s has %d characters with long names, and AWS takes 6144", name, n)
		}
		if !json.Valid(b) {
			t.Fatalf("%s is not JSON", name)
		}
		text := strings.NewReplacer("LANDSCAPE", "bistro", "ACCOUNT", testAccount, "REGION", testRegion, "DOMAIN", "bistro.example").Replace(string(b))
		return parsePolicy(t, text)
	}
	operator := []policyDocument{read("aws-operator-policy.json"), read("aws-operator-policy-roles.json"), read("aws-operator-limits.json")}
	both := append(operator, read("aws-operator-policy-account.json"))
	for _, c := range operatorCases() {
		r := accessCase{action: c.action, resource: c.resource, context: c.context}.in("test")
		if got := allowed(t, r, nil, operator...); got != c.operator {
			t.Errorf("%s: an operator is allowed %v", c.name, got)
		}
		if got := allowed(t, r, nil, both...); got != c.account {
			t.Errorf("%s: who applies the account's root is allowed %v", c.name, got)
		}
	}
}

// operatorCase is a request of an operator, and of one who applies the account's
// root as well.
type operatorCase struct {
	name, action, resource string
	context                []string
	operator, account      bool
}

func operatorCases() []operatorCase {
	own := []string{"aws:ResourceTag/godwit:landscape", "bistro"}
	return []operatorCase{
		{"makes a network", "ec2:CreateVpc", "arn:aws:ec2:HERE:vpc/*", nil, true, true},
		{"makes one elsewhere", "ec2:CreateVpc", "arn:aws:ec2:us-east-1:123456789012:vpc/*", []string{"aws:RequestedRegion", "us-east-1"}, false, false},
		{"deletes a network", "ec2:DeleteVpc", "arn:aws:ec2:HERE:vpc/vpc-1", own, true, true},
		{"deletes somebody's network", "ec2:DeleteVpc", "arn:aws:ec2:HERE:vpc/vpc-1", nil, false, false},
		{"ends another landscape's instance", "ec2:TerminateInstances", "arn:aws:ec2:HERE:instance/i-1", []string{"aws:ResourceTag/godwit:landscape", "hotel"}, false, false},
		{"joins networks", "ec2:CreateVpcPeeringConnection", "arn:aws:ec2:HERE:vpc/vpc-1", own, false, false},
		{"makes a role in the boundary", "iam:CreateRole", "arn:aws:iam::123456789012:role/bistro-instances/test/bistro-test-till",
			[]string{"iam:PermissionsBoundary", "arn:aws:iam::123456789012:policy/bistro-test-boundary"}, true, true},
		{"makes an instance profile", "iam:CreateInstanceProfile", "arn:aws:iam::123456789012:instance-profile/bistro-instances/test/bistro-test-till", nil, true, true},
		{"hands a role to an instance", "iam:PassRole", "arn:aws:iam::123456789012:role/bistro-instances/test/bistro-test-till", []string{"iam:PassedToService", "ec2.amazonaws.com"}, true, true},
		{"makes a set of gateways", "wafv2:CreateIPSet", "arn:aws:wafv2:HERE:regional/ipset/bistro-test-gateways-ipv4/1", nil, true, true},
		{"makes a role without", "iam:CreateRole", "arn:aws:iam::123456789012:role/bistro-test-till", nil, false, false},
		{"makes itself a role", "iam:CreateRole", "arn:aws:iam::123456789012:role/root", []string{"iam:PermissionsBoundary", "arn:aws:iam::123456789012:policy/bistro-test-boundary"}, false, false},
		{"takes the boundary away", "iam:DeleteRolePermissionsBoundary", "arn:aws:iam::123456789012:role/bistro-test-till", nil, false, false},
		{"hands a role to Lambda", "iam:PassRole", "arn:aws:iam::123456789012:role/bistro-test-till", []string{"iam:PassedToService", "lambda.amazonaws.com"}, false, false},
		{"makes a user", "iam:CreateUser", "arn:aws:iam::123456789012:user/x", nil, false, false},
		{"makes a database", "rds:CreateDBInstance", "arn:aws:rds:HERE:db:bistro-test-till", nil, true, true},
		{"deletes somebody's database", "rds:DeleteDBInstance", "arn:aws:rds:HERE:db:hotel", nil, false, false},
		{"fills a secret", "secretsmanager:PutSecretValue", "arn:aws:secretsmanager:HERE:secret:bistro/test/database/till-1", own, true, true},
		{"reads somebody's secret", "secretsmanager:GetSecretValue", "arn:aws:secretsmanager:HERE:secret:hotel/x", nil, false, false},
		{"reads the administrator's password", "secretsmanager:GetSecretValue", "arn:aws:secretsmanager:HERE:secret:rds!db-1",
			[]string{"secretsmanager:ResourceTag/aws:rds:primaryDBInstanceArn", "arn:aws:rds:HERE:db:bistro-test-till"}, true, true},
		{"reads another's", "secretsmanager:GetSecretValue", "arn:aws:secretsmanager:HERE:secret:rds!db-1",
			[]string{"secretsmanager:ResourceTag/aws:rds:primaryDBInstanceArn", "arn:aws:rds:HERE:db:hotel"}, false, false},
		{"writes a state", "s3:PutObject", "arn:aws:s3:::bistro-state-123456789012-eu-central-1/terraform/test.tfstate", nil, true, true},
		{"makes a bucket for access logs", "s3:CreateBucket", "arn:aws:s3:::" +
			convention.Scope{Landscape: "bistro", Environment: "production-of-the-west"}.LogsBucket() + "-123456789012-eu-central-1", nil, true, true},
		{"makes another's", "s3:CreateBucket", "arn:aws:s3:::hotel-test-logs-123456789012-eu-central-1", nil, false, false},
		{"makes the state bucket", "s3:CreateBucket", "arn:aws:s3:::bistro-state-123456789012-eu-central-1", nil, false, true},
		{"deletes the state bucket", "s3:DeleteBucket", "arn:aws:s3:::bistro-state-123456789012-eu-central-1", nil, false, false},
		{"makes the audit bucket", "s3:CreateBucket", "arn:aws:s3:::bistro-audit-123456789012-eu-central-1", nil, false, true},
		{"deletes the audit", "s3:DeleteObject", "arn:aws:s3:::bistro-audit-123456789012-eu-central-1/x", nil, false, false},
		{"makes the trail", "cloudtrail:CreateTrail", "arn:aws:cloudtrail:HERE:trail/bistro-audit", nil, false, true},
		{"stops the trail", "cloudtrail:StopLogging", "arn:aws:cloudtrail:HERE:trail/bistro-audit", nil, false, false},
		{"writes a record", "route53:ChangeResourceRecordSets", "arn:aws:route53:::hostedzone/Z1",
			[]string{"route53:ChangeResourceRecordSetsNormalizedRecordNames", "till.bistro.example"}, true, true},
		{"writes somebody's record", "route53:ChangeResourceRecordSets", "arn:aws:route53:::hostedzone/Z1",
			[]string{"route53:ChangeResourceRecordSetsNormalizedRecordNames", "till.hotel.example"}, false, false},
		{"ends the trail's key", "kms:ScheduleKeyDeletion", "arn:aws:kms:HERE:key/k", append([]string{"kms:ResourceAliases", "alias/bistro-audit"}, own...), false, false},
		{"ends an environment's key", "kms:ScheduleKeyDeletion", "arn:aws:kms:HERE:key/k", append([]string{"kms:ResourceAliases", "alias/bistro-test"}, own...), true, true},
	}
}
