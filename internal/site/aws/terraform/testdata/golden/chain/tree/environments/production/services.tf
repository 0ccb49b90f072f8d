# Rendered by godwit: what is written here by hand is lost.

# Names of services inside, the same as at every site.
resource "aws_route53_zone" "services" {
  name    = "svc.internal"
  comment = "Services of chain-production"

  vpc {
    vpc_id = module.network.vpc_id
  }
}

module "service_front" {
  source = "../../modules/service"

  landscape   = local.landscape
  environment = local.environment
  service     = "front"
  region      = local.region

  names = {
    launch_template = "chain-production-front"
    role            = "chain-production-front"
    log_group       = "/chain/production/front"
    drain_hook      = "drain"
    launch_hook     = "launch"
    groups = {
      blue  = "chain-production-front-blue"
      green = "chain-production-front-green"
    }
  }

  vpc_id            = module.network.vpc_id
  subnet_ids        = module.network.private_subnet_ids
  security_group_id = aws_security_group.service_front.id

  instance_type = "m7g.large"
  architecture  = "arm64"
  port          = 8080

  health = {
    path     = "/healthz"
    interval = 5
    timeout  = 2
  }

  scale = {
    min      = 2
    max      = 12
    requests = 100
    warmup   = 60
  }

  peaks = {
    min-2-at-0100 = {
      recurrence = "0 1 * * 0,6"
      timezone   = "Europe/Berlin"
      min        = 2
    }
    min-4-at-1800 = {
      recurrence = "0 18 * * *"
      timezone   = "Europe/Berlin"
      min        = 4
    }
    min-2-at-2300 = {
      recurrence = "0 23 * * 0,1,2,3,4"
      timezone   = "Europe/Berlin"
      min        = 2
    }
    min-8-at-2000 = {
      recurrence = "0 20 * * 5,6"
      timezone   = "Europe/Berlin"
      min        = 8
    }
    min-8-at-2300 = {
      recurrence = "0 23 * * 5,6"
      timezone   = "Europe/Berlin"
      min        = 8
    }
  }

  faces = {
    public = {
      listener_arn  = module.ingress.listener_arn
      load_balancer = module.ingress.arn_suffix
      hosts         = ["shop.chain.example", "www.chain.example"]
      target_groups = {
        blue  = "chain-production-front-9184634e"
        green = "chain-production-front-e8b65db2"
      }
    }
  }

  database_secret_arns     = [module.database_sessions.secret_arn]
  secret_name              = "chain/production/service/front"
  permissions_boundary_arn = module.access.boundary_arn

  protected = local.protected
  key_arn   = module.key.arn
  topic_arn = module.oncall.topic_arn
}

# What those services go through that need order-management.
module "internal_order_management" {
  source = "../../modules/internal"

  name    = "chain-production-order-982f4ca9"
  service = "order-management"
  host    = "order-management.svc.internal"
  zone_id = aws_route53_zone.services.zone_id

  subnet_ids        = module.network.private_subnet_ids
  security_group_id = aws_security_group.internal_order_management.id
  port              = 9000

  topic_arn = module.oncall.topic_arn
}

module "service_order_management" {
  source = "../../modules/service"

  landscape   = local.landscape
  environment = local.environment
  service     = "order-management"
  region      = local.region

  names = {
    launch_template = "chain-production-order-management"
    role            = "chain-production-order-management"
    log_group       = "/chain/production/order-management"
    drain_hook      = "drain"
    launch_hook     = "launch"
    groups = {
      blue  = "chain-production-order-management-blue"
      green = "chain-production-order-management-green"
    }
  }

  vpc_id            = module.network.vpc_id
  subnet_ids        = module.network.private_subnet_ids
  security_group_id = aws_security_group.service_order_management.id

  instance_type = "m7g.large"
  architecture  = "arm64"
  port          = 9000

  health = {
    path     = "/healthz"
    interval = 5
    timeout  = 2
  }

  scale = {
    min      = 3
    max      = 3
    requests = 50
    warmup   = 60
  }

  faces = {
    public = {
      listener_arn  = module.ingress.listener_arn
      load_balancer = module.ingress.arn_suffix
      hosts         = ["orders.chain.example"]
      target_groups = {
        blue  = "chain-production-order-1fca155f"
        green = "chain-production-order-ea7eb20d"
      }
    }
    internal = {
      listener_arn  = module.internal_order_management.listener_arn
      load_balancer = module.internal_order_management.arn_suffix
      hosts         = []
      target_groups = {
        blue  = "chain-production-order-2246ac56"
        green = "chain-production-order-39e58185"
      }
    }
  }

  database_secret_arns     = [module.database_orders.secret_arn]
  permissions_boundary_arn = module.access.boundary_arn

  protected = local.protected
  key_arn   = module.key.arn
  topic_arn = module.oncall.topic_arn
}

# What those services go through that need pricing.
module "internal_pricing" {
  source = "../../modules/internal"

  name    = "chain-production-pricin-9fbfdb6c"
  service = "pricing"
  host    = "pricing.svc.internal"
  zone_id = aws_route53_zone.services.zone_id

  subnet_ids        = module.network.private_subnet_ids
  security_group_id = aws_security_group.internal_pricing.id
  port              = 9001

  topic_arn = module.oncall.topic_arn
}

module "service_pricing" {
  source = "../../modules/service"

  landscape   = local.landscape
  environment = local.environment
  service     = "pricing"
  region      = local.region

  names = {
    launch_template = "chain-production-pricing"
    role            = "chain-production-pricing"
    log_group       = "/chain/production/pricing"
    drain_hook      = "drain"
    launch_hook     = "launch"
    groups = {
      blue  = "chain-production-pricing-blue"
      green = "chain-production-pricing-green"
    }
  }

  vpc_id            = module.network.vpc_id
  subnet_ids        = module.network.private_subnet_ids
  security_group_id = aws_security_group.service_pricing.id

  instance_type = "m7g.large"
  architecture  = "arm64"
  port          = 9001

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
    internal = {
      listener_arn  = module.internal_pricing.listener_arn
      load_balancer = module.internal_pricing.arn_suffix
      hosts         = []
      target_groups = {
        blue  = "chain-production-pricin-d694a55f"
        green = "chain-production-pricin-952276b1"
      }
    }
  }

  permissions_boundary_arn = module.access.boundary_arn

  protected = local.protected
  key_arn   = module.key.arn
  topic_arn = module.oncall.topic_arn
}

module "service_worker" {
  source = "../../modules/service"

  landscape   = local.landscape
  environment = local.environment
  service     = "worker"
  region      = local.region

  names = {
    launch_template = "chain-production-worker"
    role            = "chain-production-worker"
    log_group       = "/chain/production/worker"
    drain_hook      = "drain"
    launch_hook     = "launch"
    groups = {
      blue  = "chain-production-worker-blue"
      green = "chain-production-worker-green"
    }
  }

  vpc_id            = module.network.vpc_id
  subnet_ids        = module.network.private_subnet_ids
  security_group_id = aws_security_group.service_worker.id

  instance_type = "c7i.large"
  architecture  = "x86_64"
  port          = 9002

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

  faces = {}

  database_secret_arns     = [module.database_orders.secret_arn]
  secret_name              = "chain/production/service/worker"
  permissions_boundary_arn = module.access.boundary_arn

  protected = local.protected
  key_arn   = module.key.arn
  topic_arn = module.oncall.topic_arn
}
