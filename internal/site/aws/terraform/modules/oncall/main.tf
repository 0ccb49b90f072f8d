# Alarms reach the people on call through one topic.

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_region" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  region    = data.aws_region.current.region

  publishers = concat(
    [
      {
        Sid       = "AlarmsOfThisAccount"
        Effect    = "Allow"
        Principal = { Service = "cloudwatch.amazonaws.com" }
        Action    = "sns:Publish"
        Resource  = aws_sns_topic.this.arn
        Condition = {
          StringEquals = { "aws:SourceAccount" = local.account }
          ArnLike      = { "aws:SourceArn" = "arn:${local.partition}:cloudwatch:${local.region}:${local.account}:alarm:*" }
        }
      },
      {
        Sid       = "BudgetsOfThisAccount"
        Effect    = "Allow"
        Principal = { Service = "budgets.amazonaws.com" }
        Action    = "sns:Publish"
        Resource  = aws_sns_topic.this.arn
        Condition = {
          StringEquals = { "aws:SourceAccount" = local.account }
          ArnLike      = { "aws:SourceArn" = "arn:${local.partition}:budgets::${local.account}:*" }
        }
      },
    ],
    # EventBridge evaluates no condition in the policy of a topic: with one, it
    # cannot publish at all. For a topic in another account it needs a role, so
    # what comes in as the service itself comes from this account.
    [
      for principal in var.events ? ["events.amazonaws.com"] : [] : {
        Sid       = "EventsOfThisAccount"
        Effect    = "Allow"
        Principal = { Service = principal }
        Action    = "sns:Publish"
        Resource  = aws_sns_topic.this.arn
      }
    ],
  )
}

resource "aws_sns_topic" "this" {
  name              = "${var.prefix}-oncall"
  display_name      = "${var.prefix} on call"
  kms_master_key_id = var.key_arn
}

resource "aws_sns_topic_policy" "this" {
  arn = aws_sns_topic.this.arn

  # Nobody else is named: people of the account come in by their IAM policies.
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(local.publishers, [
      {
        Sid       = "OnlyEncrypted"
        Effect    = "Deny"
        Principal = "*"
        Action    = "sns:Publish"
        Resource  = aws_sns_topic.this.arn
        Condition = {
          Bool = { "aws:SecureTransport" = "false" }
        }
      },
    ])
  })
}

resource "aws_sns_topic_subscription" "mail" {
  for_each = toset(var.emails)

  topic_arn = aws_sns_topic.this.arn
  protocol  = "email"
  endpoint  = each.value
}
