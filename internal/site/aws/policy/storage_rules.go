package policy

import (
	"slices"
	"strings"
)

// keyed are types that are encrypted with a key of ours, by the attribute that
// names it.
var keyed = []struct{ kind, attribute string }{
	{"aws_cloudtrail", "kms_key_id"},
	{"aws_cloudwatch_log_group", "kms_key_id"},
	{"aws_secretsmanager_secret", "kms_key_id"},
	{"aws_sns_topic", "kms_master_key_id"},
}

// encryption: whatever lies somewhere is encrypted.
func encryption(w *world) {
	for _, r := range w.all {
		for _, attribute := range []string{"storage_encrypted", "encrypted"} {
			if _, has := r.Values[attribute]; has && !r.Values.True(attribute) {
				w.breaks(r, "its storage is not encrypted", "set "+attribute+" = true")
			}
		}
	}
	for _, r := range w.of("aws_launch_template") {
		devices := r.Values.Blocks("block_device_mappings")
		if r.Values.Unknown("block_device_mappings") {
			continue
		}
		if len(devices) == 0 || slices.ContainsFunc(devices, func(d Values) bool { return !d.Block("ebs").May("encrypted", "true") }) {
			w.breaks(r, "its volumes are not encrypted", `set block_device_mappings { ebs { encrypted = true } }`)
		}
	}
	for _, k := range keyed {
		for _, r := range w.of(k.kind) {
			if !r.Values.Unknown(k.attribute) && r.Values.Text(k.attribute) == "" {
				w.breaks(r, "it is not encrypted with a key of ours", "set "+k.attribute)
			}
		}
	}
	for _, r := range w.of("aws_kms_key") {
		symmetric := r.Values.May("customer_master_key_spec", "SYMMETRIC_DEFAULT", "")
		if symmetric && !r.Values.May("enable_key_rotation", "true") {
			w.breaks(r, "its key is never changed", "set enable_key_rotation = true")
		}
	}
	for _, r := range w.of("aws_ebs_encryption_by_default") {
		if !r.Values.May("enabled", "true", "") {
			w.breaks(r, "volumes that nobody said anything about are not encrypted", "set enabled = true")
		}
	}
}

// publicAccess are the four switches that close a bucket.
var publicAccess = []string{"block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets"}

// buckets are closed to the public, encrypted, and only for TLS.
func buckets(w *world) {
	for _, b := range w.of("aws_s3_bucket") {
		name := b.Values.Text("id")
		if name == "" {
			continue
		}
		block, closed := w.with("aws_s3_bucket_public_access_block", "bucket", name)
		open := w.lacks("aws_s3_bucket_public_access_block", "bucket", name)
		for _, attribute := range publicAccess {
			if open || closed && !block.Values.May(attribute, "true") {
				w.breaks(b, "the public may get at it: "+attribute+" is not set", "add aws_s3_bucket_public_access_block with all four")
				break
			}
		}
		if w.lacks("aws_s3_bucket_server_side_encryption_configuration", "bucket", name) {
			w.breaks(b, "it says nothing of encryption", "add aws_s3_bucket_server_side_encryption_configuration")
		}
		policy, ok := w.with("aws_s3_bucket_policy", "bucket", name)
		if w.lacks("aws_s3_bucket_policy", "bucket", name) || ok && !policy.Values.Unknown("policy") && !onlyTLS(policy.Values.Text("policy"), name) {
			w.breaks(b, "it can be reached without TLS", "deny everybody s3:* with aws:SecureTransport false, for the bucket and what is in it")
		}
	}
}

// onlyTLS: a bucket's policy refuses whatever is not encrypted on its way.
func onlyTLS(text, bucket string) bool {
	d, err := parse(text)
	if err != nil {
		return false
	}
	covered := map[string]bool{}
	for _, s := range d.Statement {
		if s.Effect != "Deny" || !s.Principal.Everybody || !slices.Contains(s.Action, "s3:*") || len(s.Condition) != 1 ||
			!slices.Equal(s.Condition["Bool"]["aws:SecureTransport"], texts{"false"}) || len(s.Condition["Bool"]) != 1 {
			continue
		}
		for _, resource := range s.Resource {
			_, path, _ := strings.Cut(resource, ":::")
			covered[path] = true
		}
	}
	return covered[bucket] && covered[bucket+"/*"]
}

// objectLock: a bucket must be made for locks, versioned, and locked in that
// order; otherwise AWS refuses, or what is written first is not locked.
func objectLock(w *world) {
	for _, lock := range w.of("aws_s3_bucket_object_lock_configuration") {
		name := lock.Values.Text("bucket")
		bucket, ok := w.with("aws_s3_bucket", "id", name)
		if ok && !bucket.Values.May("object_lock_enabled", "true") {
			w.breaks(bucket, "it was not made for object lock", "set object_lock_enabled = true when it is made")
		}
		kept := lock.Values.Block("rule").Block("default_retention")
		if !kept.Unknown("days") && !kept.Unknown("years") && kept.Int("days")+kept.Int("years") == 0 {
			w.breaks(lock, "it locks nothing by itself", "set rule { default_retention { mode, days } }")
		}
		versioning, versioned := w.with("aws_s3_bucket_versioning", "bucket", name)
		switch {
		case name == "": // not known yet
		case w.lacks("aws_s3_bucket_versioning", "bucket", name), versioned && !versioning.Values.Block("versioning_configuration").May("status", "Enabled"):
			w.breaks(lock, "its bucket has no versions", "enable aws_s3_bucket_versioning first")
		case versioned && !lock.after(versioning):
			w.breaks(lock, "it may be made before its bucket has versions", "add depends_on = ["+versioning.Address+"]")
		}
		for _, trail := range w.of("aws_cloudtrail") {
			if name != "" && trail.Values.Text("s3_bucket_name") == name && !trail.after(lock) {
				w.breaks(trail, "what it writes first may not be locked yet", "add depends_on = ["+lock.Address+"]")
			}
		}
	}
	for _, b := range w.of("aws_s3_bucket") {
		id := b.Values.Text("id")
		if id != "" && w.lacks("aws_s3_bucket_object_lock_configuration", "bucket", id) && b.Values.True("object_lock_enabled") {
			w.breaks(b, "it could lock objects, and does not", "add aws_s3_bucket_object_lock_configuration")
		}
	}
}

// trails write down everything everywhere, in a way that shows changes.
func trails(w *world) {
	for _, r := range w.of("aws_cloudtrail") {
		for _, attribute := range []string{"is_multi_region_trail", "enable_log_file_validation"} {
			if !r.Values.May(attribute, "true") {
				w.breaks(r, "it misses regions, or its files can be changed unseen", "set "+attribute+" = true")
			}
		}
		for _, attribute := range []string{"include_global_service_events", "enable_logging"} {
			if !r.Values.May(attribute, "true", "") {
				w.breaks(r, "it misses what happens", "leave "+attribute+" true")
			}
		}
	}
}
