# Rendered by godwit: what is written here by hand is lost.

# The way to the data centre, as long as a migration needs it. Only databases are
# on it: no other subnet has a route there.
module "vpn" {
  source = "../../modules/vpn"

  prefix          = local.prefix
  vpc_id          = module.network.vpc_id
  gateway_address = "203.0.113.10"
  source_network  = "192.168.10.0/24"
  route_table_ids = module.network.data_route_table_ids
  key_arn         = module.key.arn
}
