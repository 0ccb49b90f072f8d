# Rendered by godwit: what is written here by hand is lost.

locals {
  landscape   = "chain"
  environment = "test"
  region      = "eu-west-1"

  # What the names of all that there is one of begin with.
  prefix = "chain-test"

  # Nothing here has to last: it can be destroyed.
  protected = false
}

# The mark of protection: by it godwit sees in the state that it is taken away.
resource "terraform_data" "protection" {
  input = local.protected
}

# One key for volumes, databases, secrets, logs and alarms.
module "key" {
  source = "../../modules/key"

  prefix = local.prefix
}

# Who is told when something is wrong.
module "oncall" {
  source = "../../modules/oncall"

  prefix  = local.prefix
  emails  = ["first@chain.example", "second@chain.example"]
  key_arn = module.key.arn
}

# The environment's own network: no peering, no path to another environment.
module "network" {
  source = "../../modules/network"

  name   = local.prefix
  region = local.region
  cidr   = "10.1.0.0/20"
  zones  = 3

  # Instances have no way to the internet; AWS is reached through endpoints.
  nat = "none"

  endpoints                  = ["autoscaling", "logs", "monitoring", "secretsmanager"]
  endpoint_security_group_id = aws_security_group.endpoints.id

  permissions_boundary_arn = module.access.boundary_arn
  key_arn                  = module.key.arn
}
