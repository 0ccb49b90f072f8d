# Who may do what in an environment. People come with their own identity and take
# a role for an hour; there are no users, and no credentials that last.

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_region" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  region    = data.aws_region.current.region

  prefix = "${var.landscape}-${var.environment}"
  path   = "/${var.landscape}/${var.environment}/"
  here   = "${local.region}:${local.account}"

  # Roles of instances have a path of their own, for nothing but its name says
  # whose a role is when it is handed over: bistro-test-* would be bistro-test-x's too.
  # It begins as all names do, so that the operator's policy knows it.
  instance_roles = "/${var.landscape}-instances/${var.environment}/"

  # What the names of databases begin with; RDS allows 63 characters, and long ones
  # are cut. It narrows; whose something is, tags say.
  databases = length(local.prefix) <= 40 ? "${local.prefix}-*" : "${substr(local.prefix, 0, 40)}*"

  # A role's name may have 64 characters.
  short = length(local.prefix) <= 50 ? local.prefix : "${substr(local.prefix, 0, 43)}-${substr(sha256(local.prefix), 0, 6)}"

  # Made by the account's root; its bucket also has the journal of rollouts.
  state_bucket = "arn:${local.partition}:s3:::${var.landscape}-state-${local.account}-${local.region}"
  journal      = "${local.state_bucket}/rollouts/${var.environment}/*"
  audit_bucket = "arn:${local.partition}:s3:::${var.landscape}-audit-${local.account}-${local.region}"

  in_region     = { StringEquals = { "aws:RequestedRegion" = local.region } }
  in_scope_tags = { "aws:ResourceTag/godwit:landscape" = var.landscape, "aws:ResourceTag/godwit:environment" = var.environment }
  in_scope      = { StringEquals = local.in_scope_tags }
}
