# What its instances may do: read their own secrets, write their own log and
# metrics, end themselves.

locals {
  secret_arns = concat(var.database_secret_arns, aws_secretsmanager_secret.this[*].arn)

  # Known before AWS is asked, unlike the addresses of the secrets.
  has_secrets = length(var.database_secret_arns) > 0 || var.secret_name != null

  # Who may roll out in the environment may hand over roles with this path.
  path = "/${var.landscape}-instances/${var.environment}/"
}

resource "aws_iam_role" "this" {
  name                 = var.names.role
  path                 = local.path
  description          = "Instances of ${var.service} in ${var.environment}."
  permissions_boundary = var.permissions_boundary_arn

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ec2.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })

  tags = local.tags
}

resource "aws_iam_instance_profile" "this" {
  name = var.names.role
  path = local.path
  role = aws_iam_role.this.name

  tags = local.tags
}

resource "aws_iam_role_policy" "secrets" {
  count = local.has_secrets ? 1 : 0

  name = "secrets"
  role = aws_iam_role.this.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect   = "Allow"
        Action   = "secretsmanager:GetSecretValue"
        Resource = local.secret_arns
      },
      {
        # Only by way of Secrets Manager: the key opens nothing else for it.
        Effect    = "Allow"
        Action    = "kms:Decrypt"
        Resource  = var.key_arn
        Condition = { StringEquals = { "kms:ViaService" = "secretsmanager.${var.region}.amazonaws.com" } }
      },
    ]
  })
}

resource "aws_iam_role_policy" "telemetry" {
  name = "telemetry"
  role = aws_iam_role.this.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = "${aws_cloudwatch_log_group.this.arn}:*"
      },
      {
        # Metrics have no names that a policy could know, only a namespace.
        Effect    = "Allow"
        Action    = "cloudwatch:PutMetricData"
        Resource  = "*"
        Condition = { StringEquals = { "cloudwatch:namespace" = "godwit" } }
      },
    ]
  })
}

resource "aws_iam_role_policy" "lifecycle" {
  name = "lifecycle"
  role = aws_iam_role.this.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = ["autoscaling:CompleteLifecycleAction", "autoscaling:RecordLifecycleActionHeartbeat", "autoscaling:SetInstanceHealth"]
      Resource = [for group in aws_autoscaling_group.this : group.arn]
    }]
  })
}
