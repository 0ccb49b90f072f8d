# Rendered by godwit: what is written here by hand is lost.

module "database_orders" {
  source = "../../modules/database"

  name        = "orders"
  identifier  = "chain-test-orders"
  secret_name = "chain/test/database/orders"

  vpc_id             = module.network.vpc_id
  subnet_ids         = module.network.data_subnet_ids
  security_group_ids = [aws_security_group.database_orders.id]

  class   = "db.t4g.medium"
  storage = 50

  # A standby in another zone, in every environment: what is tried in one is what
  # runs in the next.
  multi_az  = true
  protected = local.protected

  key_arn      = module.key.arn
  topic_arn    = module.oncall.topic_arn
  boundary_arn = module.access.boundary_arn
}

module "database_sessions" {
  source = "../../modules/database"

  name        = "sessions"
  identifier  = "chain-test-sessions"
  secret_name = "chain/test/database/sessions"

  vpc_id             = module.network.vpc_id
  subnet_ids         = module.network.data_subnet_ids
  security_group_ids = [aws_security_group.database_sessions.id]

  class   = "db.t4g.medium"
  storage = 50

  # A standby in another zone, in every environment: what is tried in one is what
  # runs in the next.
  multi_az  = true
  protected = local.protected

  key_arn      = module.key.arn
  topic_arn    = module.oncall.topic_arn
  boundary_arn = module.access.boundary_arn
}

# Names of databases inside, the same as at every site.
resource "aws_route53_zone" "databases" {
  name    = "db.internal"
  comment = "Databases of chain-test"

  vpc {
    vpc_id = module.network.vpc_id
  }
}

resource "aws_route53_record" "database_orders" {
  zone_id = aws_route53_zone.databases.zone_id
  name    = "orders.db.internal"
  type    = "CNAME"
  records = [module.database_orders.address]
  ttl     = 30
}

resource "aws_route53_record" "database_sessions" {
  zone_id = aws_route53_zone.databases.zone_id
  name    = "sessions.db.internal"
  type    = "CNAME"
  records = [module.database_sessions.address]
  ttl     = 30
}
