# Rendered by godwit: what is written here by hand is lost.

# What people may do here, and what no role can exceed.
module "access" {
  source = "../../modules/access"

  landscape   = local.landscape
  environment = local.environment
  protected   = local.protected

  developer_principals     = var.developer_principals
  admin_principals         = var.admin_principals
  mfa_at_identity_provider = var.mfa_at_identity_provider

  key_arn = module.key.arn
}
