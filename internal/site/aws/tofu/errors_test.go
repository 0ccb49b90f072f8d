package tofu

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/smithy-go"
)

// Words of AWS, of its provider and of OpenTofu, as they come.
func TestClassify(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text    string
		want    error
		says    string
		passing bool
	}{
		{"No valid credential sources found\nPlease see the documentation. Error: failed to refresh cached credentials, no EC2 IMDS role found", ErrCredentials, "aws sso login", false},
		{"validating provider credentials: retrieving caller identity from STS: operation error STS: GetCallerIdentity, https response error StatusCode: 403, RequestID: 1, api error InvalidClientTokenId: The security token included in the request is invalid.", ErrCredentials, "clock", false},
		{"operation error EC2: DescribeVpcs, api error ExpiredToken: The security token included in the request is expired", ErrExpired, "sign in again", false},
		{"ExpiredTokenException: The security token included in the request is expired", ErrExpired, "sign in again", false},
		{"the SSO session has expired or is invalid", ErrExpired, "aws sso login", false},
		{"creating EC2 VPC: operation error EC2: CreateVpc, api error UnauthorizedOperation: You are not authorized to perform this operation.", ErrDenied, "docs/aws.md", false},
		{"AccessDenied: User: arn:aws:iam::1:user/x is not authorized to perform: rds:CreateDBInstance on resource: arn:aws:rds:eu-central-1:1:db:till because no identity-based policy allows it",
			ErrDenied, "rds:CreateDBInstance on arn:aws:rds:eu-central-1:1:db:till", false},
		{"api error VcpuLimitExceeded: You have requested more vCPU capacity than your current vCPU limit of 5 allows", ErrQuota, "Service Quotas", false},
		{"api error AddressLimitExceeded: The maximum number of addresses has been reached.", ErrQuota, "Service Quotas", false},
		{"api error VpcLimitExceeded: The maximum number of VPCs has been reached.", ErrQuota, "Service Quotas", false},
		{"InstanceQuotaExceeded: The maximum number of DB instances is reached", ErrQuota, "Service Quotas", false},
		{"api error RequestLimitExceeded: Request limit exceeded.", ErrThrottled, "wait", true},
		{"api error Throttling: Rate exceeded", ErrThrottled, "wait", true},
		{"api error ThrottlingException: Rate exceeded", ErrThrottled, "wait", true},
		{"api error Unsupported: Your requested instance type (t3.nano) is not supported in your requested Availability Zone (eu-central-1c).", ErrUnavailable, "describe-instance-type-offerings", false},
		{"api error InvalidParameterCombination: RDS does not support creating a DB instance with the following combination: DBInstanceClass=db.x", ErrUnavailable, "database", false},
		{"api error InsufficientInstanceCapacity: We currently do not have sufficient t3.small capacity in the Availability Zone you requested", ErrCapacity, "wait", true},
		{"Failed to query available provider packages\nCould not retrieve the list of available versions for provider hashicorp/aws: could not connect", ErrProvider, "mirror", false},
		{"Backend initialization required: please run \"tofu init\"", ErrBackend, "again", true},
		{"S3 bucket \"x\" does not exist.\n\nThe referenced S3 bucket must have been previously created.", ErrBucket, "account", false},
		{"api error PermanentRedirect: The bucket you are attempting to access must be addressed using the specified endpoint", ErrRegion, "region", false},
		{"api error AuthorizationHeaderMalformed: The authorization header is malformed; the region 'us-east-1' is wrong; expecting 'eu-central-1'", ErrRegion, "region", false},
		{"write terraform.tfstate: no space left on device", ErrDisk, "make room", false},
		{"Saved plan is stale\nThe given plan file can no longer be applied because the state was changed", ErrStale, "plan again", false},
		{"Failed to save state\nError saving state: failed to upload state", ErrUnsaved, "errored.tfstate", false},
		{"Instance cannot be destroyed\nResource x has lifecycle.prevent_destroy set", ErrProtected, "unprotected", false},
		{"api error InvalidParameterCombination: Cannot delete protected DB Instance, please disable deletion protection and try again.", ErrProtected, "unprotected", false},
		{"no matching Route 53 Hosted Zone found", ErrDNS, "hosted zone", false},
		{"api error EntityAlreadyExists: Role with name x already exists.", ErrExists, "import", false},
		{"request send failed, Post \"https://sts\": dial tcp: lookup sts: no such host", ErrNetwork, "reaches AWS", true},
		{"Unsupported argument\nAn argument named \"x\" is not expected here.", ErrDeclared, "landscape", false},
	} {
		p := classify(c.text)
		if !errors.Is(p, c.want) || p.Passing != c.passing || !strings.Contains(p.Summary+" "+p.Mend, c.says) || p.Mend == "" {
			t.Errorf("%q\n gives %v: %s %s", c.text, p.Kind, p.Summary, p.Mend)
		}
	}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	err := explain("ask for zones", fmt.Errorf("operation error: %w", &smithy.GenericAPIError{Code: "ExpiredToken", Message: "the token is expired"}))
	if !errors.Is(err, ErrExpired) || !strings.Contains(err.Error(), "ask for zones: the credentials have expired: ExpiredToken: the token is expired") {
		t.Errorf("got %v", err)
	}
	none := explain("ask AWS", errors.New("operation error STS: GetCallerIdentity, get identity: get credentials: failed to refresh cached credentials, no EC2 IMDS role found, x"))
	if text := none.Error(); !errors.Is(none, ErrCredentials) || strings.Contains(text, "get credentials") || strings.Contains(text, "failed to refresh") || !strings.Contains(text, "no EC2 IMDS role found") {
		t.Errorf("got %s", text)
	}
	if tidied := tidy("a, RequestID: AB12, HostID: x/y+z=, api error X: y"); strings.Contains(tidied, "AB12") || strings.Contains(tidied, "x/y") || !strings.Contains(tidied, "api error X: y") {
		t.Errorf("got %q", tidied)
	}
}

func TestGuard(t *testing.T) {
	t.Parallel()
	change := func(a Action, kind string, fields ...Field) Change {
		return Change{Address: kind + ".x", Type: kind, Action: a, Fields: fields}
	}
	for name, c := range map[string]struct {
		summary         Summary
		open, protected int
	}{
		"nothing":                             {Summary{}, 0, 0},
		"new":                                 {Summary{Create: []Change{change(Create, "aws_db_instance")}}, 0, 0},
		"a rule ends":                         {Summary{Destroy: []Change{change(Destroy, "aws_vpc_security_group_ingress_rule")}}, 0, 1},
		"a rule is replaced":                  {Summary{Replace: []Change{change(Replace, "aws_vpc_security_group_ingress_rule")}}, 0, 1},
		"a database ends":                     {Summary{Destroy: []Change{change(Destroy, "aws_db_instance")}}, 1, 1},
		"a database is replaced":              {Summary{Replace: []Change{change(Replace, "aws_db_instance")}}, 1, 1},
		"a key ends":                          {Summary{Destroy: []Change{change(Destroy, "aws_kms_key")}}, 1, 1},
		"a bucket ends":                       {Summary{Destroy: []Change{change(Destroy, "aws_s3_bucket")}}, 1, 1},
		"a group ends":                        {Summary{Destroy: []Change{change(Destroy, "aws_autoscaling_group")}}, 1, 1},
		"a group is replaced":                 {Summary{Replace: []Change{change(Replace, "aws_autoscaling_group")}}, 1, 1},
		"a database is forgotten":             {Summary{Other: []Change{change(Forget, "aws_db_instance")}}, 1, 1},
		"a rule is moved":                     {Summary{Other: []Change{change(Move, "aws_vpc_security_group_ingress_rule")}}, 0, 0},
		"deletion is allowed":                 {Summary{Update: []Change{change(Update, "aws_db_instance", Field{Path: "deletion_protection", Before: "true", After: "false"})}}, 1, 1},
		"deletion is forbidden":               {Summary{Update: []Change{change(Update, "aws_db_instance", Field{Path: "deletion_protection", Before: "false", After: "true"})}}, 0, 0},
		"no backups":                          {Summary{Update: []Change{change(Update, "aws_db_instance", Field{Path: "backup_retention_period", Before: "35", After: "0"})}}, 1, 1},
		"no standby":                          {Summary{Update: []Change{change(Update, "aws_db_instance", Field{Path: "multi_az", Before: "true", After: "false"})}}, 0, 1},
		"a rule ends that is protected still": {Summary{Protected: true, Destroy: []Change{change(Destroy, "aws_vpc_security_group_ingress_rule")}}, 1, 1},
		"lost":                                {Summary{Lost: []Lost{{"aws_vpc.x", "aws_vpc", "vpc-1"}}}, 1, 1},
	} {
		if got := Guard(c.summary, Stakes{}); len(got) != c.open {
			t.Errorf("%s, unprotected: %v", name, got)
		}
		if got := Guard(c.summary, Stakes{Protected: true}); len(got) != c.protected {
			t.Errorf("%s, protected: %v", name, got)
		}
	}
}

// TestGuardsOrder: what weighs most is said first.
func TestGuardsOrder(t *testing.T) {
	t.Parallel()
	var s Summary
	for _, kind := range []string{"aws_subnet", "aws_route53_zone", "aws_lb", "aws_db_instance"} {
		s.Destroy = append(s.Destroy, Change{Address: kind + ".x", Type: kind, Action: Destroy})
	}
	var got []string
	for _, r := range Guard(s, Stakes{Protected: true}) {
		got = append(got, r.Address)
	}
	if want := []string{"aws_db_instance.x", "aws_lb.x", "aws_route53_zone.x", "aws_subnet.x"}; !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}

func TestEndpoints(t *testing.T) {
	t.Parallel()
	for e, ok := range map[Endpoint]bool{
		"": true, "http://127.0.0.1:5000": true, "http://localhost:5000": true, "http://[::1]:5000": true, "https://aws.example": true, "http://127.8.0.1:1/": true,
		"http://10.0.0.1:5000": false, "http://aws.example": false, "http://localhost.example:1": false, "127.0.0.1:5000": false, "ftp://127.0.0.1": false,
		"http://key:secret@127.0.0.1": false, "http://127.0.0.1/x": false, "http://127.0.0.1?x=y": false, "http://": false,
	} {
		if err := e.Check(); (err == nil) != ok || err != nil && !errors.Is(err, ErrEndpoint) {
			t.Errorf("%q: %v", e, err)
		}
	}
}
