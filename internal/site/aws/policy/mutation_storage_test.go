package policy_test

import (
	"godwit/internal/site/aws/policy"
)

const (
	lock  = "aws_s3_bucket_object_lock_configuration.audit"
	role  = "module.access.aws_iam_role.developer[0]"
	grant = "module.service_till.aws_iam_role_policy.telemetry"
)

var storageMutations = []mutation{
	{"database", test, "encryption", "storage is not encrypted", func(r tree) { r.set(till5432, "storage_encrypted", false) }},
	{"database, nothing said", test, "encryption", "storage is not encrypted", func(r tree) { r.set(till5432, "storage_encrypted", nil) }},
	{"a volume", test, "encryption", "aws_ebs_volume.added", func(r tree) { r.add("aws_ebs_volume", policy.Values{"encrypted": false}) }},
	{"volumes of instances", test, "encryption", "volumes are not encrypted", func(r tree) { r.set(template, "block_device_mappings/ebs/encrypted", "false") }},
	{"volumes of instances, nothing said", test, "encryption", "volumes are not encrypted", func(r tree) { r.set(template, "block_device_mappings", []any{}) }},
	{"topic", test, "encryption", "key of ours", func(r tree) { r.set("aws_sns_topic.this", "kms_master_key_id", nil) }},
	{"log", test, "encryption", "key of ours", func(r tree) { r.set("aws_cloudwatch_log_group.flow", "kms_key_id", "") }},
	{"secret", test, "encryption", "key of ours", func(r tree) {
		r.set("module.database_till.aws_secretsmanager_secret.connection", "kms_key_id", nil)
	}},
	{"trail", account, "encryption", "key of ours", func(r tree) { r.set("aws_cloudtrail.this", "kms_key_id", nil) }},
	{"key for ever", test, "encryption", "never changed", func(r tree) { r.set("aws_kms_key.this", "enable_key_rotation", false) }},
	{"volumes of whoever", account, "encryption", "nobody said anything", func(r tree) { r.set("aws_ebs_encryption_by_default.this", "enabled", false) }},

	{"public", test, "bucket", "ignore_public_acls is not set", func(r tree) {
		r.set("aws_s3_bucket_public_access_block.logs", "ignore_public_acls", false)
	}},
	{"nothing said of the public", account, "bucket", "the public may get at it", func(r tree) { r.drop("aws_s3_bucket_public_access_block.state") }},
	{"no encryption", test, "bucket", "says nothing of encryption", func(r tree) { r.drop("aws_s3_bucket_server_side_encryption_configuration") }},
	{"no policy", test, "bucket", "without TLS", func(r tree) { r.drop("aws_s3_bucket_policy.logs") }},
	{"allowed without TLS", test, "bucket", "without TLS", func(r tree) {
		r.edit("aws_s3_bucket_policy.logs", "policy", `"aws:SecureTransport":"false"`, `"aws:SecureTransport":"true"`)
	}},
	{"only some denied", test, "bucket", "without TLS", func(r tree) { r.edit("aws_s3_bucket_policy.logs", "policy", `"s3:*"`, `"s3:GetObject"`) }},
	{"only the bucket, not what is in it", test, "bucket", "without TLS", func(r tree) { r.edit("aws_s3_bucket_policy.logs", "policy", `/*"]`, `/a"]`) }},
	{"one condition more", test, "bucket", "without TLS", func(r tree) {
		r.edit("aws_s3_bucket_policy.logs", "policy", `"aws:SecureTransport":"false"`, `"aws:SecureTransport":"false","aws:ViaAWSService":"false"`)
	}},

	{"not made for it", account, "object-lock", "not made for object lock", func(r tree) { r.set("aws_s3_bucket.audit", "object_lock_enabled", false) }},
	{"no versions", account, "object-lock", "has no versions", func(r tree) { r.drop("aws_s3_bucket_versioning.audit") }},
	{"versions suspended", account, "object-lock", "has no versions", func(r tree) {
		r.set("aws_s3_bucket_versioning.audit", "versioning_configuration/status", "Suspended")
	}},
	{"order with versions", account, "object-lock", "before its bucket has versions", func(r tree) { independent(r, lock, "aws_s3_bucket_versioning.audit") }},
	{"no order at all", account, "object-lock", "before its bucket has versions", func(r tree) { r.the(lock).DependsOn = []string{} }},
	{"order with what is written", account, "object-lock", "may not be locked yet", func(r tree) { independent(r, "aws_cloudtrail.this", lock) }},
	{"nothing is kept", account, "object-lock", "locks nothing", func(r tree) { r.set(lock, "rule/default_retention/days", 0.) }},
	{"no retention", account, "object-lock", "locks nothing", func(r tree) { r.set(lock, "rule", []any{}) }},
	{"no lock", account, "object-lock", "and does not", func(r tree) { r.drop(lock) }},

	{"one region", account, "trail", "is_multi_region_trail", func(r tree) { r.set("aws_cloudtrail.this", "is_multi_region_trail", false) }},
	{"changed unseen", account, "trail", "enable_log_file_validation", func(r tree) { r.set("aws_cloudtrail.this", "enable_log_file_validation", nil) }},
	{"no global services", account, "trail", "include_global_service_events", func(r tree) {
		r.set("aws_cloudtrail.this", "include_global_service_events", false)
	}},
	{"stopped", account, "trail", "enable_logging", func(r tree) { r.set("aws_cloudtrail.this", "enable_logging", false) }},
}

// independent takes an order away.
func independent(r tree, address, other string) {
	one := r.the(address)
	var left []string
	for _, d := range one.DependsOn {
		if d != "module.account."+other {
			left = append(left, d)
		}
	}
	if len(left) == len(one.DependsOn) {
		r.t.Fatalf("%s does not depend on %s", address, other)
	}
	one.DependsOn = left
}

// allowing is a policy with one statement that allows something.
func allowing(rest string) string {
	return `{"Version":"2012-10-17","Statement":{"Effect":"Allow",` + rest + `}}`
}

func grants(rest string) func(tree) {
	return func(r tree) { r.set(grant, "policy", allowing(rest)) }
}

func trusts(rest string) func(tree) {
	return func(r tree) { r.set(role, "assume_role_policy", allowing(rest)) }
}

var iamMutations = []mutation{
	{"everything", test, "iam-wildcard", "it allows everything", grants(`"Action":"*","Resource":"arn:aws:s3:::a/b"`)},
	{"everything, with a condition", test, "iam-wildcard", "it allows everything", grants(`"Action":["*"],"Resource":"*","Condition":{"StringEquals":{"aws:RequestedRegion":"eu-central-1"}}`)},
	{"all of a service", test, "iam-wildcard", "it allows s3:*", grants(`"Action":"s3:*","Resource":"arn:aws:s3:::a/b"`)},
	{"all of some services", test, "iam-wildcard", "it allows s*:Get", grants(`"Action":"s*:Get","Resource":"arn:aws:s3:::a/b"`)},
	{"all resources", test, "iam-wildcard", "s3:GetObject on *", grants(`"Action":"s3:GetObject","Resource":"*"`)},
	{"all of a kind", test, "iam-wildcard", "on arn:aws:iam::123456789012:role/*", grants(`"Action":"iam:PassRole","Resource":["arn:aws:iam::123456789012:role/*"]`)},
	{"all buckets", test, "iam-wildcard", "on arn:aws:s3:::*", grants(`"Action":"s3:GetObject","Resource":"arn:aws:s3:::*"`)},
	{"all topics", test, "iam-wildcard", "on arn:aws:sns:eu-central-1:123456789012:*", grants(`"Action":"sns:Publish","Resource":"arn:aws:sns:eu-central-1:123456789012:*"`)},
	{"all but some actions", test, "iam-wildcard", "all but something", grants(`"NotAction":"iam:*","Resource":"arn:aws:s3:::a/b"`)},
	{"all but some resources", test, "iam-wildcard", "all but something", grants(`"Action":"s3:GetObject","NotResource":"arn:aws:s3:::a/b"`)},
	{"no JSON", test, "iam-wildcard", "is no policy", func(r tree) { r.set(grant, "policy", "{") }},
	{"a policy of its own", test, "iam-wildcard", "aws_iam_policy.look: it allows s3:*", func(r tree) {
		r.set("module.access.aws_iam_policy.look", "policy", allowing(`"Action":"s3:*","Resource":"arn:aws:s3:::a"`))
	}},
	{"a boundary without bounds", test, "iam-wildcard", "aws_iam_policy.boundary: it allows everything", func(r tree) {
		r.set("module.access.aws_iam_policy.boundary", "policy", allowing(`"Action":"*","Resource":"*"`))
	}},
	{"a policy in the role", test, "iam-wildcard", "it allows ec2:*", func(r tree) {
		r.the(role).Values["inline_policy"] = []any{map[string]any{"policy": allowing(`"Action":"ec2:*","Resource":"arn:aws:ec2:::a"`)}}
	}},
	{"AWS's own", test, "iam-wildcard", "AdministratorAccess", func(r tree) {
		r.set("aws_iam_role_policy_attachment.developer_look[0]", "policy_arn", "arn:aws:iam::aws:policy/AdministratorAccess")
	}},
	{"AWS's own in the role", test, "iam-wildcard", "PowerUserAccess", func(r tree) {
		r.the(role).Values["managed_policy_arns"] = []any{"arn:aws:iam::aws:policy/PowerUserAccess"}
	}},
	{"everybody's topic", test, "iam-wildcard", "everybody in the world is allowed sns:Publish", func(r tree) {
		r.set("aws_sns_topic_policy.this", "policy", allowing(`"Principal":"*","Action":"sns:Publish","Resource":"a"`))
	}},
	{"everybody's key", test, "iam-wildcard", "everybody in the world", func(r tree) {
		r.edit("aws_kms_key.this", "policy", `"kms:CallerAccount"`, `"kms:EncryptionContextKeys"`)
		r.edit("aws_kms_key.this", "policy", `"aws:PrincipalArn"`, `"aws:UserAgent"`)
	}},
	{"everybody through an endpoint", test, "iam-wildcard", "everybody in the world is allowed *", func(r tree) {
		r.edit("aws_vpc_endpoint.s3", "policy", `"aws:PrincipalAccount":"123456789012"`, `"aws:PrincipalAccount":"*"`)
	}},
	{"everybody, if he says nothing", test, "iam-wildcard", "everybody in the world", func(r tree) {
		r.edit("aws_vpc_endpoint.s3", "policy", `"StringEquals"`, `"StringEqualsIfExists"`)
	}},
	{"everybody but one", test, "iam-wildcard", "everybody in the world", func(r tree) {
		r.edit("aws_vpc_endpoint.s3", "policy", `"StringEquals"`, `"StringNotEquals"`)
	}},
	{"all but one principal", account, "iam-wildcard", "all but something", func(r tree) {
		r.edit("aws_s3_bucket_policy.access", "policy", `"Principal":{"Service":"logging.s3.amazonaws.com"}`, `"NotPrincipal":{"AWS":"123456789012"}`)
	}},

	{"a user", test, "iam-people", "do not end", func(r tree) { r.add("aws_iam_user", policy.Values{}) }},
	{"a key of access", test, "iam-people", "do not end", func(r tree) { r.add("aws_iam_access_key", policy.Values{}) }},
	{"two hours", test, "iam-people", "longer than an hour", func(r tree) { r.set(role, "max_session_duration", 7200.) }},
	{"no boundary", test, "iam-people", "without a boundary", func(r tree) { r.set(role, "permissions_boundary", nil) }},
	{"no second factor", test, "iam-people", "second factor", trusts(`"Principal":{"AWS":"arn:aws:iam::123456789012:role/people"},"Action":"sts:AssumeRole"`)},
	{"a second factor, if any", test, "iam-people", "second factor", func(r tree) { r.edit(role, "assume_role_policy", `"Bool"`, `"BoolIfExists"`) }},
	{"a second factor that is not", test, "iam-people", "second factor", func(r tree) {
		r.edit(role, "assume_role_policy", `"aws:MultiFactorAuthPresent":"true"`, `"aws:MultiFactorAuthPresent":"false"`)
	}},
	{"an identity provider for two hours", test, "iam-people", "longer than an hour", func(r tree) {
		r.set(role, "max_session_duration", 7200.)
		trusts(`"Principal":{"Federated":"arn:aws:iam::123456789012:saml-provider/us"},"Action":"sts:AssumeRoleWithSAML"`)(r)
	}},
}
