# Rendered by godwit: what is written here by hand is lost.

# Names of services inside, the same as at every site.
resource "aws_route53_zone" "services" {
  name    = "svc.internal"
  comment = "Services of chain-test"

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
    launch_template = "chain-test-front"
    role            = "chain-test-front"
    log_group       = "/chain/test/front"
    drain_hook      = "drain"
    launch_hook     = "launch"
    groups = {
      blue  = "chain-test-front-blue"
      green = "chain-test-front-green"
    }
  }

  vpc_id            = module.network.vpc_id
  subnet_ids        = module.network.private_subnet_ids
  security_group_id = aws_security_group.service_front.id

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
      hosts         = ["test.shop.chain.example", "test.www.chain.example"]
      target_groups = {
        blue  = "chain-test-front-public-blue"
        green = "chain-test-front-public-green"
      }
    }
  }

  database_secret_arns     = [module.database_sessions.secret_arn]
  secret_name              = "chain/test/service/front"
  permissions_boundary_arn = module.access.boundary_arn

  protected = local.protected
  key_arn   = module.key.arn
  topic_arn = module.oncall.topic_arn
}

# What those services go through that need order-management.
module "internal_order_management" {
  source = "../../modules/internal"

  name    = "chain-test-order-manage-ec134dab"
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
    launch_template = "chain-test-order-management"
    role            = "chain-test-order-management"
    log_group       = "/chain/test/order-management"
    drain_hook      = "drain"
    launch_hook     = "launch"
    groups = {
      blue  = "chain-test-order-management-blue"
      green = "chain-test-order-management-green"
    }
  }

  vpc_id            = module.network.vpc_id
  subnet_ids        = module.network.private_subnet_ids
  security_group_id = aws_security_group.service_order_management.id

  instance_type = "t3.small"
  architecture  = "x86_64"
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
      hosts         = ["test.orders.chain.example"]
      target_groups = {
        blue  = "chain-test-order-manage-6f7ddec3"
        green = "chain-test-order-manage-66693d47"
      }
    }
    internal = {
      listener_arn  = module.internal_order_management.listener_arn
      load_balancer = module.internal_order_management.arn_suffix
      hosts         = []
      target_groups = {
        blue  = "chain-test-order-manage-87232050"
        green = "chain-test-order-manage-fff25fb3"
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

  name    = "chain-test-pricing-internal"
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
    launch_template = "chain-test-pricing"
    role            = "chain-test-pricing"
    log_group       = "/chain/test/pricing"
    drain_hook      = "drain"
    launch_hook     = "launch"
    groups = {
      blue  = "chain-test-pricing-blue"
      green = "chain-test-pricing-green"
    }
  }

  vpc_id            = module.network.vpc_id
  subnet_ids        = module.network.private_subnet_ids
  security_group_id = aws_security_group.service_pricing.id

  instance_type = "t3.small"
  architecture  = "x86_64"
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
        blue  = "chain-test-pricing-internal-blue"
        green = "chain-test-pricing-inte-8289021b"
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
    launch_template = "chain-test-worker"
    role            = "chain-test-worker"
    log_group       = "/chain/test/worker"
    drain_hook      = "drain"
    launch_hook     = "launch"
    groups = {
      blue  = "chain-test-worker-blue"
      green = "chain-test-worker-green"
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
  secret_name              = "chain/test/service/worker"
  permissions_boundary_arn = module.access.boundary_arn

  protected = local.protected
  key_arn   = module.key.arn
  topic_arn = module.oncall.topic_arn
}
