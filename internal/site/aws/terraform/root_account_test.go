package terraform

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	tfjson "github.com/hashicorp/terraform-json"

	"godwit/internal/landscape"
	"godwit/internal/site/aws/convention"
	"godwit/internal/site/aws/terraform/tofutest"
)

// What the schema provider says of itself.
const (
	testAccount = "123456789012"
	testRegion  = "eu-central-1"
)

func small() *landscape.Landscape {
	return &landscape.Landscape{
		Name: "bistro",
		Environments: []landscape.Environment{
			{Name: "production", Network: netip.MustParsePrefix("10.30.0.0/16"), Protected: true},
		},
		AWS: &landscape.AWS{Region: testRegion, Zones: 2, OnCall: []string{"on-call@bistro.example", "${var.audit_mode}@bistro.example"}},
	}
}

// accountTree is the account's root with the modules, as it is written.
func accountTree(t *testing.T) Tree {
	t.Helper()
	tree, err := Render(small())
	if err != nil {
		t.Fatal(err)
	}
	for path := range tree {
		if !strings.HasPrefix(path, "account/") && !strings.HasPrefix(path, "modules/") {
			delete(tree, path)
		}
	}
	return tree
}

func TestAccountRendersTheSame(t *testing.T) {
	t.Parallel()
	first := renderAccount(small())
	for range 20 {
		for name, content := range renderAccount(small()) {
			if !bytes.Equal(first[name], content) {
				t.Fatalf("%s differs:\n%s\n%s", name, first[name], content)
			}
		}
	}
	if key := convention.StateKey("account"); !bytes.Contains(first["backend.hcl"], []byte(`"`+key+`"`)) {
		t.Errorf("the state is not kept under %s:\n%s", key, first["backend.hcl"])
	}
}

// made is what an applied root made, by address.
func made(t *testing.T, state *tfjson.State) map[string]*tfjson.StateResource {
	t.Helper()
	all := map[string]*tfjson.StateResource{}
	var walk func(*tfjson.StateModule)
	walk = func(m *tfjson.StateModule) {
		for _, r := range m.Resources {
			all[r.Address] = r
		}
		for _, child := range m.ChildModules {
			walk(child)
		}
	}
	walk(state.Values.RootModule)
	return all
}

func attribute(t *testing.T, all map[string]*tfjson.StateResource, address, name string) string {
	t.Helper()
	r, ok := all[address]
	if !ok {
		t.Fatalf("there is no %s", address)
	}
	s, ok := r.AttributeValues[name].(string)
	if !ok {
		t.Fatalf("%s of %s is %v", name, address, r.AttributeValues[name])
	}
	return s
}

func TestAccount(t *testing.T) {
	t.Parallel()
	w := tofutest.New(t, accountTree(t))
	w.Fmt()
	w.Init("account")
	w.Validate("account")
	w.Apply("account", nil)
	w.Same("account", nil)
	all := made(t, w.State("account"))

	account := convention.Account{Landscape: "bistro", AccountID: testAccount, Region: testRegion}
	for address, want := range map[string]string{
		"module.account.aws_s3_bucket.state": account.StateBucket(),
		"module.account.aws_s3_bucket.audit": account.AuditBucket(),
	} {
		if got := attribute(t, all, address, "bucket"); got != want {
			t.Errorf("%s is %s, and everybody else looks for %s", address, got, want)
		}
	}
	for address, r := range all {
		tags, _ := r.AttributeValues["tags_all"].(map[string]any)
		if tags != nil && (tags[convention.TagLandscape] != "bistro" || tags[convention.TagEnvironment] != nil) {
			t.Errorf("%s has tags %v: what is the account's belongs to the landscape and to no environment", address, tags)
		}
	}
	// What a landscape says is never code.
	hostile := small().AWS.OnCall[1]
	if !slices.ContainsFunc(slices.Collect(maps.Values(all)), func(r *tfjson.StateResource) bool {
		return r.Type == "aws_sns_topic_subscription" && r.AttributeValues["endpoint"] == hostile
	}) {
		t.Errorf("%s does not get alarms as it is written", hostile)
	}

	t.Run("audit", func(t *testing.T) { auditBucket(t, all, account) })
	t.Run("key", func(t *testing.T) { accountKey(t, all) })
	t.Run("oncall", func(t *testing.T) { oncallTopic(t, all) })
	t.Run("destroy", func(t *testing.T) {
		w.Refused("account", []string{"destroy", "-input=false", "-no-color", "-auto-approve"}, "prevent_destroy")
	})
	t.Run("mode", func(t *testing.T) {
		w.Refused("account", []string{"plan", "-input=false", "-no-color", "-var=audit_mode=NONE"}, "GOVERNANCE or COMPLIANCE")
	})
}

// auditBucket: the trail writes, and nobody else writes or deletes.
func auditBucket(t *testing.T, all map[string]*tfjson.StateResource, account convention.Account) {
	policy := parsePolicy(t, attribute(t, all, "module.account.aws_s3_bucket_policy.audit", "policy"))
	trail := attribute(t, all, "module.account.aws_cloudtrail.this", "arn")
	bucket := "arn:aws:s3:::" + account.AuditBucket()
	object := bucket + "/AWSLogs/" + testAccount + "/CloudTrail/eu-central-1/2026/11/23/x.json.gz"
	tls := func(more ...string) map[string]string {
		context := map[string]string{"aws:SecureTransport": "true"}
		for i := 0; i < len(more); i += 2 {
			context[more[i]] = more[i+1]
		}
		return context
	}
	owned := "bucket-owner-full-control"
	for _, c := range []struct {
		name string
		request
		want string
	}{
		{"the trail looks", request{"s3:GetBucketAcl", bucket, tls("aws:SourceArn", trail)}, "Allow"},
		{"the trail writes", request{"s3:PutObject", object, tls("aws:SourceArn", trail, "s3:x-amz-acl", owned)}, "Allow"},
		{"another trail writes", request{"s3:PutObject", object, tls("aws:SourceArn", trail+"2", "s3:x-amz-acl", owned)}, "Deny"},
		{"the trail of another account writes", request{"s3:PutObject", object,
			tls("aws:SourceArn", strings.Replace(trail, testAccount, "999999999999", 1), "s3:x-amz-acl", owned)}, "Deny"},
		{"the trail writes elsewhere", request{"s3:PutObject", bucket + "/other", tls("aws:SourceArn", trail, "s3:x-amz-acl", owned)}, ""},
		{"somebody writes", request{"s3:PutObject", object, tls()}, "Deny"},
		{"somebody hides", request{"s3:DeleteObject", object, tls()}, "Deny"},
		{"somebody deletes", request{"s3:DeleteObjectVersion", object, tls()}, "Deny"},
		{"somebody opens the lock", request{"s3:BypassGovernanceRetention", object, tls()}, "Deny"},
		{"somebody reads in the clear", request{"s3:GetObject", object, map[string]string{"aws:SecureTransport": "false"}}, "Deny"},
	} {
		if got := decide(t, c.request, policy); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	lock := all["module.account.aws_s3_bucket_object_lock_configuration.audit"]
	if !slices.Contains(lock.DependsOn, "module.account.aws_s3_bucket_versioning.audit") {
		t.Errorf("the lock comes before versions: %v", lock.DependsOn)
	}
	if on := all["module.account.aws_cloudtrail.this"].DependsOn; !slices.Contains(on, "module.account.aws_s3_bucket_object_lock_configuration.audit") {
		t.Errorf("the trail writes before the lock: %v", on)
	}
}

// accountKey: services use it for what is this account's, and nobody else does.
func accountKey(t *testing.T, all map[string]*tfjson.StateResource) {
	policy := parsePolicy(t, attribute(t, all, "module.key.aws_kms_key.this", "policy"))
	by := func(service string) policyDocument {
		d := policyDocument{}
		for _, s := range policy.Statement {
			b, err := json.Marshal(s.Principal)
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(b, []byte(`"`+service+`"`)) {
				d.Statement = append(d.Statement, s)
			}
		}
		return d
	}
	role := "arn:aws:iam::" + testAccount + ":role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"
	topic := attribute(t, all, "module.oncall.aws_sns_topic.this", "arn")
	group := attribute(t, all, "module.account.aws_cloudwatch_log_group.trail", "arn")
	for _, c := range []struct {
		name, service, action string
		context               map[string]string
		want                  string
	}{
		{"log groups of here", "logs.eu-central-1.amazonaws.com", "kms:GenerateDataKey", map[string]string{"kms:EncryptionContext:aws:logs:arn": group}, "Allow"},
		{"log groups of others", "logs.eu-central-1.amazonaws.com", "kms:GenerateDataKey",
			map[string]string{"kms:EncryptionContext:aws:logs:arn": strings.Replace(group, testAccount, "999999999999", 1)}, ""},
		{"alarms of here", "cloudwatch.amazonaws.com", "kms:GenerateDataKey", map[string]string{"aws:SourceAccount": testAccount}, "Allow"},
		{"alarms of others", "cloudwatch.amazonaws.com", "kms:GenerateDataKey", map[string]string{"aws:SourceAccount": "999999999999"}, ""},
		{"events to the topic", "events.amazonaws.com", "kms:Decrypt", map[string]string{"kms:EncryptionContext:aws:sns:topicArn": topic}, "Allow"},
		{"events to another topic", "events.amazonaws.com", "kms:Decrypt", map[string]string{"kms:EncryptionContext:aws:sns:topicArn": topic[:len(topic)-len("bistro-account-oncall")] + "x"}, ""},
		{"auto scaling launches", "*", "kms:GenerateDataKeyWithoutPlaintext", map[string]string{"kms:CallerAccount": testAccount, "aws:PrincipalArn": role}, "Allow"},
		{"auto scaling attaches", "*", "kms:CreateGrant",
			map[string]string{"kms:CallerAccount": testAccount, "aws:PrincipalArn": role, "kms:GrantIsForAWSResource": "true"}, "Allow"},
		{"auto scaling hands on", "*", "kms:CreateGrant",
			map[string]string{"kms:CallerAccount": testAccount, "aws:PrincipalArn": role, "kms:GrantIsForAWSResource": "false"}, ""},
		{"somebody of here", "*", "kms:Decrypt", map[string]string{"kms:CallerAccount": testAccount, "aws:PrincipalArn": "arn:aws:iam::" + testAccount + ":role/x"}, ""},
		{"somebody of elsewhere", "*", "kms:Decrypt", map[string]string{"kms:CallerAccount": "999999999999", "aws:PrincipalArn": role}, ""},
	} {
		if got := decide(t, request{c.action, "*", c.context}, by(c.service)); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// oncallTopic: what may publish is of this account, or has no name to be checked by.
func oncallTopic(t *testing.T, all map[string]*tfjson.StateResource) {
	for _, s := range parsePolicy(t, attribute(t, all, "module.oncall.aws_sns_topic_policy.this", "policy")).Statement {
		principal, _ := s.Principal.(map[string]any)
		conditioned := len(s.Condition["StringEquals"]["aws:SourceAccount"]) > 0
		if s.Effect == "Allow" && conditioned == (principal["Service"] == "events.amazonaws.com") {
			t.Errorf("%s: EventBridge publishes to no topic with a condition, and everybody else needs one", s.Sid)
		}
	}
}
