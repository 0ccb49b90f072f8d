# Rendered by godwit: what is written here by hand is lost.

module "service_kiosk" {
  source = "../../modules/service"

  landscape   = local.landscape
  environment = local.environment
  service     = "kiosk"
  region      = local.region

  names = {
    launch_template = "kiosk-live-kiosk"
    role            = "kiosk-live-kiosk"
    log_group       = "/kiosk/live/kiosk"
    drain_hook      = "drain"
    launch_hook     = "launch"
    groups = {
      blue  = "kiosk-live-kiosk-blue"
      green = "kiosk-live-kiosk-green"
    }
  }

  vpc_id            = module.network.vpc_id
  subnet_ids        = module.network.private_subnet_ids
  security_group_id = aws_security_group.service_kiosk.id

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
      hosts         = ["kiosk.example"]
      target_groups = {
        blue  = "kiosk-live-kiosk-public-blue"
        green = "kiosk-live-kiosk-public-green"
      }
    }
  }

  permissions_boundary_arn = module.access.boundary_arn

  protected = local.protected
  key_arn   = module.key.arn
  topic_arn = module.oncall.topic_arn
}
