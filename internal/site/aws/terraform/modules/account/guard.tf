# What watches, and what holds for everything in the region, whoever makes it.

resource "aws_guardduty_detector" "this" {
  enable                       = true
  finding_publishing_frequency = "FIFTEEN_MINUTES"
}

# Runtime monitoring is not among them: its agent would run on every instance.
resource "aws_guardduty_detector_feature" "this" {
  for_each = toset(["EBS_MALWARE_PROTECTION", "RDS_LOGIN_EVENTS", "S3_DATA_EVENTS"])

  detector_id = aws_guardduty_detector.this.id
  name        = each.key
  status      = "ENABLED"
}

# Medium and worse: what is low waits for whoever looks.
resource "aws_cloudwatch_event_rule" "findings" {
  name        = "${var.landscape}-account-findings"
  description = "Findings of GuardDuty that somebody should see at once"

  event_pattern = jsonencode({
    source        = ["aws.guardduty"]
    "detail-type" = ["GuardDuty Finding"]
    detail        = { severity = [{ numeric = [">=", 4] }] }
  })
}

resource "aws_cloudwatch_event_target" "findings" {
  rule      = aws_cloudwatch_event_rule.findings.name
  target_id = "oncall"
  arn       = var.topic_arn
}

# Says what can be reached from outside the account: buckets, keys, roles, topics.
resource "aws_accessanalyzer_analyzer" "this" {
  analyzer_name = "${var.landscape}-account"
  type          = "ACCOUNT"
}

# Volumes that nobody said anything about are encrypted too.
resource "aws_ebs_encryption_by_default" "this" {
  enabled = true
}

# No copy of a disk and no image is ever public.
resource "aws_ebs_snapshot_block_public_access" "this" {
  state = "block-all-sharing"
}

resource "aws_ec2_image_block_public_access" "this" {
  state = "block-new-sharing"
}

# Instances that nobody said anything about have IMDSv2 only, out of reach of
# anything that is a hop away from the instance.
resource "aws_ec2_instance_metadata_defaults" "this" {
  http_tokens                 = "required"
  http_put_response_hop_limit = 1
}

resource "aws_s3_account_public_access_block" "this" {
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}
