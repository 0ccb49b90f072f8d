# What there is one of in an account: where states are kept, who did what, and
# what holds for everything in the region.

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_region" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  region    = data.aws_region.current.region

  # godwit finds the first two by these names.
  state_bucket  = "${var.landscape}-state-${local.account}-${local.region}"
  audit_bucket  = "${var.landscape}-audit-${local.account}-${local.region}"
  access_bucket = "${var.landscape}-access-${local.account}-${local.region}"

  # Known before the trail is there: its bucket and its key must let it in first.
  trail     = "${var.landscape}-audit"
  trail_arn = "arn:${local.partition}:cloudtrail:${local.region}:${local.account}:trail/${local.trail}"
}
