locals {
  # MFA demanded by AWS: the key is missing where there was none, and Bool without
  # IfExists then refuses.
  mfa = var.mfa_at_identity_provider ? {} : {
    Condition = {
      Bool            = { "aws:MultiFactorAuthPresent" = "true" }
      NumericLessThan = { "aws:MultiFactorAuthAge" = "3600" }
    }
  }
}

resource "aws_iam_role" "developer" {
  count = length(var.developer_principals) > 0 ? 1 : 0

  name                 = "${local.short}-developer"
  description          = var.protected ? "Looks at what runs in ${local.prefix}." : "Looks at what runs in ${local.prefix}, and rolls out."
  permissions_boundary = aws_iam_policy.boundary.arn

  # Credentials end after an hour.
  max_session_duration = 3600

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [merge({
      Effect    = "Allow"
      Principal = { AWS = var.developer_principals }
      Action    = ["sts:AssumeRole", "sts:SetSourceIdentity"]
    }, local.mfa)]
  })
}

resource "aws_iam_role" "admin" {
  count = length(var.admin_principals) > 0 ? 1 : 0

  name                 = "${local.short}-admin"
  description          = "Operates ${local.prefix}."
  permissions_boundary = aws_iam_policy.boundary.arn
  max_session_duration = 3600

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [merge({
      Effect    = "Allow"
      Principal = { AWS = var.admin_principals }
      Action    = ["sts:AssumeRole", "sts:SetSourceIdentity"]
    }, local.mfa)]
  })
}

resource "aws_iam_role_policy_attachment" "developer_look" {
  count = length(aws_iam_role.developer)

  role       = aws_iam_role.developer[0].name
  policy_arn = aws_iam_policy.look.arn
}

resource "aws_iam_role_policy_attachment" "developer_rollout" {
  count = var.protected ? 0 : length(aws_iam_role.developer)

  role       = aws_iam_role.developer[0].name
  policy_arn = aws_iam_policy.rollout.arn
}

resource "aws_iam_role_policy_attachment" "admin" {
  for_each = length(aws_iam_role.admin) == 0 ? {} : {
    look    = aws_iam_policy.look.arn
    rollout = aws_iam_policy.rollout.arn
    operate = aws_iam_policy.operate.arn
  }

  role       = aws_iam_role.admin[0].name
  policy_arn = each.value
}
