# Rendered by godwit: what is written here by hand is lost.

# What the account keeps is encrypted with a key of its own: not with that of an
# environment, which goes with it.
module "key" {
  source = "../modules/key"

  prefix = "moving-account"
}

# Alarms of the account. Findings of GuardDuty come as events.
module "oncall" {
  source = "../modules/oncall"

  prefix  = "moving-account"
  emails  = []
  key_arn = module.key.arn
  events  = true
}

# One landscape for each account: GuardDuty, the trail and the defaults of the
# region are there once.
module "account" {
  source = "../modules/account"

  landscape = "moving"
  key_arn   = module.key.arn
  topic_arn = module.oncall.topic_arn

  audit_mode = var.audit_mode
  audit_days = var.audit_days
  insights   = var.insights
}
