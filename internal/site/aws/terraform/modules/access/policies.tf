# Seeing what runs. Secrets are not among it, for nobody.
resource "aws_iam_policy" "look" {
  name        = "${local.prefix}-look"
  description = "See what runs in ${local.prefix}."

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      # AWS knows neither resources nor tags for these: they name what there is in
      # the region, and show nothing of what is in it.
      {
        Sid    = "Names"
        Effect = "Allow"
        Action = [
          "acm:ListCertificates",
          "autoscaling:Describe*",
          "cloudwatch:DescribeAlarm*", "cloudwatch:GetMetric*", "cloudwatch:ListMetrics",
          "ec2:DescribeAvailabilityZones", "ec2:DescribeImages", "ec2:DescribeInstance*", "ec2:DescribeLaunchTemplate*",
          "ec2:DescribeNatGateways", "ec2:DescribeNetworkAcls", "ec2:DescribeRouteTables", "ec2:DescribeSecurityGroup*",
          "ec2:DescribeSubnets", "ec2:DescribeTags", "ec2:DescribeVolumes", "ec2:DescribeVpc*", "ec2:DescribeVpnConnections",
          "elasticloadbalancing:Describe*",
          "logs:DescribeLogGroups", "logs:GetQueryResults", "logs:StopQuery",
          "rds:DescribeDBInstances", "rds:DescribeEvents",
          "tag:GetResources",
        ]
        Resource  = "*"
        Condition = local.in_region
      },
      {
        Sid    = "Logs"
        Effect = "Allow"
        Action = ["logs:DescribeLogStreams", "logs:FilterLogEvents", "logs:GetLogEvents", "logs:StartQuery"]
        Resource = [
          "arn:${local.partition}:logs:${local.here}:log-group:${local.path}*",
          "arn:${local.partition}:logs:${local.here}:log-group:/${local.prefix}/flow:*",
          "arn:${local.partition}:logs:${local.here}:log-group:/${local.prefix}/vpn:*",
        ]
      },
      # RDS names these after its databases, and those of test-x begin as test's do.
      {
        Sid       = "LogsOfDatabases"
        Effect    = "Allow"
        Action    = ["logs:DescribeLogStreams", "logs:FilterLogEvents", "logs:GetLogEvents", "logs:StartQuery"]
        Resource  = "arn:${local.partition}:logs:${local.here}:log-group:/aws/rds/instance/${local.databases}"
        Condition = local.in_scope
      },
      {
        Sid       = "EncryptedLogs"
        Effect    = "Allow"
        Action    = "kms:Decrypt"
        Resource  = var.key_arn
        Condition = { StringEquals = { "kms:ViaService" = "logs.${local.region}.amazonaws.com" } }
      },
      {
        Sid       = "Consoles"
        Effect    = "Allow"
        Action    = "ec2:GetConsoleOutput"
        Resource  = "arn:${local.partition}:ec2:${local.here}:instance/*"
        Condition = local.in_scope
      },
      {
        Sid      = "NoSecrets"
        Effect   = "Deny"
        Action   = ["ec2:GetPasswordData", "logs:Unmask", "secretsmanager:BatchGetSecretValue", "secretsmanager:GetSecretValue", "ssm:GetParameter*"]
        Resource = "*"
      },
    ]
  })
}

# A rollout: another version of a launch template, instances beside the old ones,
# weights of the load balancer, a journal.
resource "aws_iam_policy" "rollout" {
  name        = "${local.prefix}-rollout"
  description = "Roll out in ${local.prefix}."

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid    = "Groups"
        Effect = "Allow"
        Action = [
          "autoscaling:CompleteLifecycleAction", "autoscaling:CreateOrUpdateTags", "autoscaling:DeleteTags",
          "autoscaling:ResumeProcesses", "autoscaling:SetDesiredCapacity", "autoscaling:SuspendProcesses",
          "autoscaling:TerminateInstanceInAutoScalingGroup", "autoscaling:UpdateAutoScalingGroup",
        ]
        Resource  = "arn:${local.partition}:autoscaling:${local.here}:autoScalingGroup:*:autoScalingGroupName/${local.prefix}-*"
        Condition = local.in_scope
      },
      {
        Sid       = "Templates"
        Effect    = "Allow"
        Action    = ["ec2:CreateLaunchTemplateVersion", "ec2:DeleteLaunchTemplateVersions"]
        Resource  = "arn:${local.partition}:ec2:${local.here}:launch-template/*"
        Condition = local.in_scope
      },
      # Auto Scaling asks whether its caller could launch from the template: with
      # the environment's template, subnets and security groups, an image of the
      # landscape, and nothing else.
      {
        Sid    = "LaunchInside"
        Effect = "Allow"
        Action = "ec2:RunInstances"
        Resource = [
          "arn:${local.partition}:ec2:${local.here}:launch-template/*",
          "arn:${local.partition}:ec2:${local.here}:security-group/*",
          "arn:${local.partition}:ec2:${local.here}:subnet/*",
        ]
        Condition = local.in_scope
      },
      {
        Sid    = "LaunchImages"
        Effect = "Allow"
        Action = "ec2:RunInstances"
        Resource = [
          "arn:${local.partition}:ec2:${local.region}::image/*",
          "arn:${local.partition}:ec2:${local.region}::snapshot/*",
        ]
        Condition = { StringEquals = { "aws:ResourceTag/godwit:landscape" = var.landscape } }
      },
      {
        Sid    = "LaunchFromTemplate"
        Effect = "Allow"
        Action = "ec2:RunInstances"
        Resource = [
          "arn:${local.partition}:ec2:${local.here}:instance/*",
          "arn:${local.partition}:ec2:${local.here}:network-interface/*",
          "arn:${local.partition}:ec2:${local.here}:volume/*",
        ]
        Condition = { ArnLike = { "ec2:LaunchTemplate" = "arn:${local.partition}:ec2:${local.here}:launch-template/*" } }
      },
      {
        Sid    = "LaunchLabelled"
        Effect = "Allow"
        Action = "ec2:CreateTags"
        Resource = [
          "arn:${local.partition}:ec2:${local.here}:instance/*",
          "arn:${local.partition}:ec2:${local.here}:network-interface/*",
          "arn:${local.partition}:ec2:${local.here}:volume/*",
        ]
        Condition = {
          StringEquals = {
            "ec2:CreateAction"                  = "RunInstances"
            "aws:RequestTag/godwit:environment" = var.environment
          }
        }
      },
      {
        Sid       = "LaunchAsService"
        Effect    = "Allow"
        Action    = "iam:PassRole"
        Resource  = "arn:${local.partition}:iam::${local.account}:role${local.instance_roles}*"
        Condition = { StringEquals = { "iam:PassedToService" = "ec2.amazonaws.com" } }
      },
      {
        Sid    = "Weights"
        Effect = "Allow"
        Action = ["elasticloadbalancing:ModifyListener", "elasticloadbalancing:ModifyRule"]
        Resource = [
          "arn:${local.partition}:elasticloadbalancing:${local.here}:listener/app/*",
          "arn:${local.partition}:elasticloadbalancing:${local.here}:listener-rule/app/*",
        ]
        Condition = local.in_scope
      },
      # What stops is taken out of its target group, and put back when it is not to.
      {
        Sid       = "Targets"
        Effect    = "Allow"
        Action    = ["elasticloadbalancing:DeregisterTargets", "elasticloadbalancing:RegisterTargets"]
        Resource  = "arn:${local.partition}:elasticloadbalancing:${local.here}:targetgroup/*"
        Condition = local.in_scope
      },
      {
        Sid      = "Journal"
        Effect   = "Allow"
        Action   = ["s3:DeleteObject", "s3:GetObject", "s3:PutObject"]
        Resource = local.journal
      },
      # Who may not list gets "forbidden" instead of "not there" from S3. Names of
      # states are no secret; what is in them is.
      {
        Sid      = "JournalThereOrNot"
        Effect   = "Allow"
        Action   = "s3:ListBucket"
        Resource = local.state_bucket
      },
      # The bucket's key belongs to the account's root; it is known by its alias.
      {
        Sid      = "JournalEncrypted"
        Effect   = "Allow"
        Action   = ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource = "arn:${local.partition}:kms:${local.here}:key/*"
        Condition = {
          StringEquals               = { "kms:ViaService" = "s3.${local.region}.amazonaws.com" }
          "ForAnyValue:StringEquals" = { "kms:ResourceAliases" = "alias/${var.landscape}-account" }
        }
      },
    ]
  })
}

# Operating: what is done when something is wrong, and nothing that Terraform does.
resource "aws_iam_policy" "operate" {
  name        = "${local.prefix}-operate"
  description = "Operate ${local.prefix}."

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "Instances"
        Effect    = "Allow"
        Action    = ["ec2:RebootInstances", "ec2:TerminateInstances"]
        Resource  = "arn:${local.partition}:ec2:${local.here}:instance/*"
        Condition = local.in_scope
      },
      {
        Sid    = "Groups"
        Effect = "Allow"
        Action = [
          "autoscaling:EnterStandby", "autoscaling:ExecutePolicy", "autoscaling:ExitStandby", "autoscaling:SetInstanceHealth",
          "autoscaling:SetInstanceProtection",
        ]
        Resource  = "arn:${local.partition}:autoscaling:${local.here}:autoScalingGroup:*:autoScalingGroupName/${local.prefix}-*"
        Condition = local.in_scope
      },
      {
        Sid       = "Databases"
        Effect    = "Allow"
        Action    = "rds:RebootDBInstance"
        Resource  = "arn:${local.partition}:rds:${local.here}:db:${local.databases}"
        Condition = local.in_scope
      },
      {
        Sid       = "Snapshots"
        Effect    = "Allow"
        Action    = "rds:CreateDBSnapshot"
        Resource  = "arn:${local.partition}:rds:${local.here}:db:${local.databases}"
        Condition = local.in_scope
      },
      # What does not exist yet has no tags.
      {
        Sid      = "SnapshotsMade"
        Effect   = "Allow"
        Action   = "rds:CreateDBSnapshot"
        Resource = "arn:${local.partition}:rds:${local.here}:snapshot:${local.databases}"
      },
      {
        Sid       = "Alarms"
        Effect    = "Allow"
        Action    = ["cloudwatch:DisableAlarmActions", "cloudwatch:EnableAlarmActions", "cloudwatch:SetAlarmState"]
        Resource  = "arn:${local.partition}:cloudwatch:${local.here}:alarm:${local.prefix}-*"
        Condition = local.in_scope
      },
    ]
  })
}
