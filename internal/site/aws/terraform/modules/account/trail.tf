# Who did what, in every region, in files that cannot be changed unseen.

# A key of its own: who may read states has no part in the audit.
resource "aws_kms_key" "trail" {
  description             = "Audit of ${var.landscape}"
  enable_key_rotation     = true
  deletion_window_in_days = 30

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "AccountByItsPolicies"
        Effect    = "Allow"
        Principal = { AWS = "arn:${local.partition}:iam::${local.account}:root" }
        Action    = "kms:*"
        Resource  = "*"
      },
      # Only to write: reading is up to people, by the statement above.
      {
        Sid       = "TrailEncrypts"
        Effect    = "Allow"
        Principal = { Service = "cloudtrail.amazonaws.com" }
        Action    = "kms:GenerateDataKey*"
        Resource  = "*"
        Condition = {
          StringEquals = { "aws:SourceArn" = local.trail_arn }
          StringLike   = { "kms:EncryptionContext:aws:cloudtrail:arn" = "arn:${local.partition}:cloudtrail:*:${local.account}:trail/${local.trail}" }
        }
      },
      {
        Sid       = "TrailLooks"
        Effect    = "Allow"
        Principal = { Service = "cloudtrail.amazonaws.com" }
        Action    = "kms:DescribeKey"
        Resource  = "*"
        Condition = { StringEquals = { "aws:SourceArn" = local.trail_arn } }
      },
    ]
  })

  tags = { Name = local.trail }
}

resource "aws_kms_alias" "trail" {
  name          = "alias/${local.trail}"
  target_key_id = aws_kms_key.trail.key_id
}

# The same events once more, where filters see them within minutes.
resource "aws_cloudwatch_log_group" "trail" {
  name              = "/${var.landscape}/account/trail"
  retention_in_days = 90
  kms_key_id        = var.key_arn
}

resource "aws_iam_role" "trail" {
  name_prefix = "${var.landscape}-trail-"
  description = "Writes the trail into its log group."

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "cloudtrail.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

# CloudTrail names its streams by account and region.
resource "aws_iam_role_policy" "trail" {
  name = "write"
  role = aws_iam_role.trail.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
      Resource = "${aws_cloudwatch_log_group.trail.arn}:log-stream:${local.account}_CloudTrail_*"
    }]
  })
}

resource "aws_cloudtrail" "this" {
  name           = local.trail
  s3_bucket_name = aws_s3_bucket.audit.id
  kms_key_id     = aws_kms_key.trail.arn

  is_multi_region_trail         = true
  include_global_service_events = true

  # Every hour a signed digest says which files there were.
  enable_log_file_validation = true

  cloud_watch_logs_group_arn = "${aws_cloudwatch_log_group.trail.arn}:*"
  cloud_watch_logs_role_arn  = aws_iam_role.trail.arn

  advanced_event_selector {
    name = "Everything that is managed"

    field_selector {
      field  = "eventCategory"
      equals = ["Management"]
    }
  }

  # Not the audit bucket: each file written there would be another event.
  advanced_event_selector {
    name = "States and journals, read and written"

    field_selector {
      field  = "eventCategory"
      equals = ["Data"]
    }

    field_selector {
      field  = "resources.type"
      equals = ["AWS::S3::Object"]
    }

    field_selector {
      field       = "resources.ARN"
      starts_with = ["${aws_s3_bucket.state.arn}/"]
    }
  }

  dynamic "insight_selector" {
    for_each = var.insights ? ["ApiCallRateInsight", "ApiErrorRateInsight"] : []

    content {
      insight_type = insight_selector.value
    }
  }

  # The first file is already locked, and lands where it may.
  depends_on = [
    aws_iam_role_policy.trail,
    aws_s3_bucket_object_lock_configuration.audit,
    aws_s3_bucket_ownership_controls.audit,
    aws_s3_bucket_policy.audit,
  ]
}
