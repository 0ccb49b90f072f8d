package policy

import (
	"slices"
	"strings"
)

// encryption: whatever lies somewhere is encrypted.
func encryption(w *world) {
	for _, r := range w.of("aws_db_instance") {
		if !r.Values.True("storage_encrypted") {
			w.breaks(r, "its storage is not encrypted", "set storage_encrypted = true")
		}
	}
	for _, r := range w.of("aws_launch_template") {
		devices := r.Values.Blocks("block_device_mappings")
		if len(devices) == 0 || slices.ContainsFunc(devices, func(d Values) bool { return !d.Block("ebs").True("encrypted") }) {
			w.breaks(r, "its volumes are not encrypted", `set block_device_mappings { ebs { encrypted = true } }`)
		}
	}
	for kind, attribute := range map[string]string{"aws_sns_topic": "kms_master_key_id", "aws_cloudtrail": "kms_key_id",
		"aws_cloudwatch_log_group": "kms_key_id", "aws_secretsmanager_secret": "kms_key_id"} {
		for _, r := range w.of(kind) {
			if _, set := r.Values[attribute]; set && r.Values.Text(attribute) == "" {
				w.breaks(r, "it is not encrypted with a key of ours", "set "+attribute)
			}
		}
	}
	for _, r := range w.of("aws_kms_key") {
		if !r.Values.True("enable_key_rotation") {
			w.breaks(r, "its key is never changed", "set enable_key_rotation = true")
		}
	}
}

// buckets are closed to the public, encrypted, and only for TLS.
func buckets(w *world) {
	for _, b := range w.of("aws_s3_bucket") {
		name := b.Values.Text("id")
		if name == "" {
			continue
		}
		block, ok := w.with("aws_s3_bucket_public_access_block", "bucket", name)
		for _, attribute := range []string{"block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets"} {
			if !ok || !block.Values.True(attribute) {
				w.breaks(b, "the public may get at it: "+attribute+" is not set", "add aws_s3_bucket_public_access_block with all four")
				break
			}
		}
		if _, ok := w.with("aws_s3_bucket_server_side_encryption_configuration", "bucket", name); !ok {
			w.breaks(b, "it says nothing of encryption", "add aws_s3_bucket_server_side_encryption_configuration")
		}
		policy, _ := w.with("aws_s3_bucket_policy", "bucket", name)
		if !strings.Contains(policy.Values.Text("policy"), "aws:SecureTransport") {
			w.breaks(b, "it can be reached without TLS", "deny requests with aws:SecureTransport false in its policy")
		}
	}
}

// objectLock: a bucket must be made for locks, versioned, and locked in that
// order; otherwise AWS refuses, or what is written first is not locked.
func objectLock(w *world) {
	for _, lock := range w.of("aws_s3_bucket_object_lock_configuration") {
		bucket, ok := w.with("aws_s3_bucket", "id", lock.Values.Text("bucket"))
		if ok && !bucket.Values.True("object_lock_enabled") {
			w.breaks(bucket, "it was not made for object lock", "set object_lock_enabled = true when it is made")
		}
		versioning, ok := w.with("aws_s3_bucket_versioning", "bucket", lock.Values.Text("bucket"))
		if !ok || versioning.Values.Block("versioning_configuration").Text("status") != "Enabled" {
			w.breaks(lock, "its bucket has no versions", "enable aws_s3_bucket_versioning first")
			continue
		}
		if len(lock.DependsOn) > 0 && !slices.Contains(lock.DependsOn, versioning.Address) {
			w.breaks(lock, "it may be made before its bucket has versions", "add depends_on = ["+versioning.Address+"]")
		}
	}
	for _, b := range w.of("aws_s3_bucket") {
		if b.Values.True("object_lock_enabled") && b.Values.Known("id") {
			if _, ok := w.with("aws_s3_bucket_object_lock_configuration", "bucket", b.Values.Text("id")); !ok {
				w.breaks(b, "it could lock objects, and does not", "add aws_s3_bucket_object_lock_configuration")
			}
		}
	}
}

// trails write down everything everywhere, in a way that shows changes.
func trails(w *world) {
	for _, r := range w.of("aws_cloudtrail") {
		if !r.Values.True("is_multi_region_trail") || !r.Values.True("enable_log_file_validation") || !r.Values.True("include_global_service_events") {
			w.breaks(r, "it misses regions or global services, or its files can be changed unseen",
				"set is_multi_region_trail, include_global_service_events and enable_log_file_validation")
		}
	}
}
