# What no role of the environment can exceed, whatever its own policies say: those
# of people, of instances, and of the services that work for them.

resource "aws_iam_policy" "boundary" {
  name        = "${local.prefix}-boundary"
  description = "What no role of ${local.prefix} can exceed."

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      # A ceiling: it gives nothing by itself.
      {
        Sid    = "Ceiling"
        Effect = "Allow"
        Action = [
          "acm:Describe*", "acm:List*",
          "autoscaling:*",
          "cloudwatch:*",
          "ec2:CreateLaunchTemplateVersion", "ec2:CreateTags", "ec2:DeleteLaunchTemplateVersions",
          "ec2:Describe*", "ec2:Get*", "ec2:RebootInstances", "ec2:RunInstances", "ec2:TerminateInstances",
          "elasticloadbalancing:*",
          "kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey*",
          "logs:*",
          "rds:CreateDBSnapshot", "rds:Describe*", "rds:List*", "rds:RebootDBInstance",
          "secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue",
          "sns:Get*", "sns:List*",
          "tag:Get*",
          "wafv2:Get*", "wafv2:List*",
        ]
        Resource  = "*"
        Condition = local.in_region
      },
      {
        Sid      = "CeilingOfTheJournal"
        Effect   = "Allow"
        Action   = ["s3:DeleteObject", "s3:GetObject", "s3:PutObject"]
        Resource = local.journal
      },
      {
        Sid      = "CeilingOfListing"
        Effect   = "Allow"
        Action   = "s3:ListBucket"
        Resource = local.state_bucket
      },
      {
        Sid       = "CeilingOfRoles"
        Effect    = "Allow"
        Action    = "iam:PassRole"
        Resource  = "arn:${local.partition}:iam::${local.account}:role${local.instance_roles}*"
        Condition = { StringEquals = { "iam:PassedToService" = "ec2.amazonaws.com" } }
      },

      # From here on: what stays refused, should somebody widen the ceiling.
      {
        Sid      = "NoOtherIdentity"
        Effect   = "Deny"
        Action   = ["iam:Add*", "iam:Attach*", "iam:Create*", "iam:Delete*", "iam:Detach*", "iam:Put*", "iam:Remove*", "iam:Set*", "iam:Tag*", "iam:Untag*", "iam:Update*", "iam:Upload*", "organizations:*", "sso:*"]
        Resource = "*"
      },
      {
        Sid    = "NoHandOnTheAudit"
        Effect = "Deny"
        Action = [
          "access-analyzer:Delete*", "access-analyzer:Update*",
          "cloudtrail:Delete*", "cloudtrail:Put*", "cloudtrail:Stop*", "cloudtrail:Update*",
          "config:Delete*", "config:Stop*",
          "guardduty:Archive*", "guardduty:Create*", "guardduty:Delete*", "guardduty:Disassociate*", "guardduty:Stop*", "guardduty:Update*",
          "kms:Disable*", "kms:PutKeyPolicy", "kms:ScheduleKeyDeletion",
        ]
        Resource = "*"
      },
      {
        Sid      = "NoLogLost"
        Effect   = "Deny"
        Action   = ["logs:Delete*", "logs:Disassociate*", "logs:PutRetentionPolicy"]
        Resource = "arn:${local.partition}:logs:${local.here}:log-group:/${var.landscape}*"
      },
      {
        Sid      = "NoAuditBucket"
        Effect   = "Deny"
        Action   = "s3:*"
        Resource = [local.audit_bucket, "${local.audit_bucket}/*"]
      },
      {
        Sid         = "NoForeignSecret"
        Effect      = "Deny"
        Action      = "secretsmanager:*"
        NotResource = "arn:${local.partition}:secretsmanager:${local.here}:secret:${trimprefix(local.path, "/")}*"
      },
      # A tag that is not there does not differ: what belongs to nobody is left to
      # the policies of roles.
      {
        Sid      = "NoOtherEnvironment"
        Effect   = "Deny"
        Action   = "*"
        Resource = "*"
        Condition = {
          StringNotEquals = { "aws:ResourceTag/godwit:environment" = var.environment }
          Null            = { "aws:ResourceTag/godwit:environment" = "false" }
        }
      },
      {
        Sid      = "NoOtherLandscape"
        Effect   = "Deny"
        Action   = "*"
        Resource = "*"
        Condition = {
          StringNotEquals = { "aws:ResourceTag/godwit:landscape" = var.landscape }
          Null            = { "aws:ResourceTag/godwit:landscape" = "false" }
        }
      },
      # Nor can anything be labelled over the border, or lose its label.
      {
        Sid      = "NoSmuggling"
        Effect   = "Deny"
        Action   = ["autoscaling:CreateOrUpdateTags", "ec2:CreateTags", "elasticloadbalancing:AddTags"]
        Resource = "*"
        Condition = {
          StringNotEquals = { "aws:RequestTag/godwit:environment" = var.environment }
          Null            = { "aws:RequestTag/godwit:environment" = "false" }
        }
      },
      {
        Sid       = "NoUnlabelling"
        Effect    = "Deny"
        Action    = ["autoscaling:DeleteTags", "ec2:DeleteTags", "elasticloadbalancing:RemoveTags"]
        Resource  = "*"
        Condition = { "ForAnyValue:StringEquals" = { "aws:TagKeys" = ["godwit:landscape", "godwit:environment"] } }
      },
      # Services without regions answer as if they were in one of their own.
      {
        Sid       = "NoOtherRegion"
        Effect    = "Deny"
        NotAction = ["iam:*", "sts:*"]
        Resource  = "*"
        Condition = { StringNotEquals = { "aws:RequestedRegion" = local.region } }
      },
    ]
  })
}
