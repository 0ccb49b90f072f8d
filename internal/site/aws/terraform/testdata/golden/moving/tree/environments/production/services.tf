# Rendered by godwit: what is written here by hand is lost.

module "service_till" {
  source = "../../modules/service"

  landscape   = local.landscape
  environment = local.environment
  service     = "till"
  region      = local.region

  names = {
    launch_template = "moving-production-till"
    role            = "moving-production-till"
    log_group       = "/moving/production/till"
    drain_hook      = "drain"
    launch_hook     = "launch"
    groups = {
      blue  = "moving-production-till-blue"
      green = "moving-production-till-green"
    }
  }

  vpc_id            = module.network.vpc_id
  subnet_ids        = module.network.private_subnet_ids
  security_group_id = aws_security_group.service_till.id

  instance_type = "t3.small"
  architecture  = "x86_64"
  port          = 8080

  health = {
    path     = "/healthz"
    interval = 5
    timeout  = 2
  }

  scale = {
    min      = 2
    max      = 2
    requests = 0
    warmup   = 60
  }

  faces = {
    public = {
      listener_arn  = module.ingress.listener_arn
      load_balancer = module.ingress.arn_suffix
      hosts         = ["till.moving.example"]
      target_groups = {
        blue  = "moving-production-till-4c6cfae1"
        green = "moving-production-till-855cf03e"
      }
    }
  }

  database_secret_arns     = [module.database_till.secret_arn]
  permissions_boundary_arn = module.access.boundary_arn

  protected = local.protected
  key_arn   = module.key.arn
  topic_arn = module.oncall.topic_arn
}
