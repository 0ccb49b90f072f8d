# Rendered by godwit: what is written here by hand is lost.

module "database_till" {
  source = "../../modules/database"

  name        = "till"
  identifier  = "moving-production-till"
  secret_name = "moving/production/database/till"

  vpc_id             = module.network.vpc_id
  subnet_ids         = module.network.data_subnet_ids
  security_group_ids = [aws_security_group.database_till.id]

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
  comment = "Databases of moving-production"

  vpc {
    vpc_id = module.network.vpc_id
  }
}

resource "aws_route53_record" "database_till" {
  zone_id = aws_route53_zone.databases.zone_id
  name    = "till.db.internal"
  type    = "CNAME"
  records = [module.database_till.address]
  ttl     = 30
}
