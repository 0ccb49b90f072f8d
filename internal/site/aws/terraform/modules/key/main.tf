# One key for all that an environment keeps. Without it nothing of the
# environment can be read, by anybody.

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_region" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  region    = data.aws_region.current.region
}

resource "aws_kms_key" "this" {
  description         = "All that ${var.prefix} keeps"
  enable_key_rotation = true

  # The longest: a key that is gone takes databases and their backups along.
  deletion_window_in_days = 30

  # In the policy of a key, the resource "*" is this key and nothing else.
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      # The account's own IAM policies say who manages and uses the key. A key
      # without this statement can become one that nobody can change.
      {
        Sid       = "AccountByItsPolicies"
        Effect    = "Allow"
        Principal = { AWS = "arn:${local.partition}:iam::${local.account}:root" }
        Action    = "kms:*"
        Resource  = "*"
      },
      # CloudWatch Logs names the log group that it encrypts for.
      {
        Sid       = "LogGroupsOfThisAccount"
        Effect    = "Allow"
        Principal = { Service = "logs.${local.region}.amazonaws.com" }
        Action    = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"]
        Resource  = "*"
        Condition = {
          ArnLike = { "kms:EncryptionContext:aws:logs:arn" = "arn:${local.partition}:logs:${local.region}:${local.account}:log-group:*" }
        }
      },
      # Who publishes to an encrypted topic needs its key.
      {
        Sid       = "AlarmsAndBudgetsOfThisAccount"
        Effect    = "Allow"
        Principal = { Service = ["cloudwatch.amazonaws.com", "budgets.amazonaws.com"] }
        Action    = ["kms:Decrypt", "kms:GenerateDataKey*"]
        Resource  = "*"
        Condition = {
          StringEquals = { "aws:SourceAccount" = local.account }
        }
      },
      # EventBridge sends no aws:SourceAccount along when it publishes to an
      # encrypted topic: with that condition its messages are lost without a
      # word. SNS itself names the topic.
      {
        Sid       = "EventsToTopicsOfThisAccount"
        Effect    = "Allow"
        Principal = { Service = "events.amazonaws.com" }
        Action    = ["kms:Decrypt", "kms:GenerateDataKey*"]
        Resource  = "*"
        Condition = {
          ArnLike = { "kms:EncryptionContext:aws:sns:topicArn" = "arn:${local.partition}:sns:${local.region}:${local.account}:${var.prefix}-*" }
        }
      },
      # Auto Scaling launches instances with encrypted volumes as its
      # service-linked role. KMS refuses a policy that names a role which is not
      # there yet, and in a new account it is made by the first group: so the
      # role is a condition, and the account another.
      {
        Sid       = "VolumesOfAutoScaling"
        Effect    = "Allow"
        Principal = { AWS = "*" }
        Action    = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"]
        Resource  = "*"
        Condition = {
          StringEquals = { "kms:CallerAccount" = local.account }
          ArnEquals    = { "aws:PrincipalArn" = "arn:${local.partition}:iam::${local.account}:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling" }
        }
      },
      # A grant lets EC2 use the volume for as long as it is attached.
      {
        Sid       = "AttachedVolumesOfAutoScaling"
        Effect    = "Allow"
        Principal = { AWS = "*" }
        Action    = "kms:CreateGrant"
        Resource  = "*"
        Condition = {
          StringEquals = { "kms:CallerAccount" = local.account }
          ArnEquals    = { "aws:PrincipalArn" = "arn:${local.partition}:iam::${local.account}:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling" }
          Bool         = { "kms:GrantIsForAWSResource" = "true" }
        }
      },
    ]
  })

  tags = { Name = var.prefix }
}

resource "aws_kms_alias" "this" {
  name          = "alias/${var.prefix}"
  target_key_id = aws_kms_key.this.key_id
}
