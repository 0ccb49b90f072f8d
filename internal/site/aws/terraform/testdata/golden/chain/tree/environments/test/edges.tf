# Rendered by godwit: what is written here by hand is lost.

# The whole firewall of this environment: who reaches whom, and on which port.
# Nothing else is open. Each edge is a pair of rules, one where it begins and one
# where it ends, and both name groups, not addresses.

resource "aws_security_group" "public" {
  name        = "chain-test-public"
  description = "Public load balancer"
  vpc_id      = module.network.vpc_id

  tags = {
    Name = "chain-test-public"
  }
}

resource "aws_security_group" "endpoints" {
  name        = "chain-test-endpoints"
  description = "Endpoints of AWS"
  vpc_id      = module.network.vpc_id

  tags = {
    Name = "chain-test-endpoints"
  }
}

resource "aws_security_group" "service_front" {
  name        = "chain-test-front-service"
  description = "Instances of front"
  vpc_id      = module.network.vpc_id

  tags = {
    Name = "chain-test-front-service"
  }
}

resource "aws_security_group" "internal_order_management" {
  name        = "chain-test-order-management-internal"
  description = "Internal load balancer of order-management"
  vpc_id      = module.network.vpc_id

  tags = {
    Name = "chain-test-order-management-internal"
  }
}

resource "aws_security_group" "service_order_management" {
  name        = "chain-test-order-management-service"
  description = "Instances of order-management"
  vpc_id      = module.network.vpc_id

  tags = {
    Name = "chain-test-order-management-service"
  }
}

resource "aws_security_group" "internal_pricing" {
  name        = "chain-test-pricing-internal"
  description = "Internal load balancer of pricing"
  vpc_id      = module.network.vpc_id

  tags = {
    Name = "chain-test-pricing-internal"
  }
}

resource "aws_security_group" "service_pricing" {
  name        = "chain-test-pricing-service"
  description = "Instances of pricing"
  vpc_id      = module.network.vpc_id

  tags = {
    Name = "chain-test-pricing-service"
  }
}

resource "aws_security_group" "service_worker" {
  name        = "chain-test-worker-service"
  description = "Instances of worker"
  vpc_id      = module.network.vpc_id

  tags = {
    Name = "chain-test-worker-service"
  }
}

resource "aws_security_group" "database_orders" {
  name        = "chain-test-orders-database"
  description = "Database orders"
  vpc_id      = module.network.vpc_id

  tags = {
    Name = "chain-test-orders-database"
  }
}

resource "aws_security_group" "database_sessions" {
  name        = "chain-test-sessions-database"
  description = "Database sessions"
  vpc_id      = module.network.vpc_id

  tags = {
    Name = "chain-test-sessions-database"
  }
}

# Clients. These are the only rules that let everybody in: 80 only says that it is
# 443 they want.
resource "aws_vpc_security_group_ingress_rule" "public_from_clients_https" {
  security_group_id = aws_security_group.public.id
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  description       = "Clients"
}

resource "aws_vpc_security_group_ingress_rule" "public_from_clients_https_ipv6" {
  security_group_id = aws_security_group.public.id
  cidr_ipv6         = "::/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  description       = "Clients by IPv6"
}

resource "aws_vpc_security_group_ingress_rule" "public_from_clients_http" {
  security_group_id = aws_security_group.public.id
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 80
  to_port           = 80
  description       = "Clients"
}

resource "aws_vpc_security_group_ingress_rule" "public_from_clients_http_ipv6" {
  security_group_id = aws_security_group.public.id
  cidr_ipv6         = "::/0"
  ip_protocol       = "tcp"
  from_port         = 80
  to_port           = 80
  description       = "Clients by IPv6"
}

# Ingress to front.
resource "aws_vpc_security_group_egress_rule" "public_to_service_front" {
  security_group_id            = aws_security_group.public.id
  referenced_security_group_id = aws_security_group.service_front.id
  ip_protocol                  = "tcp"
  from_port                    = 8080
  to_port                      = 8080
  description                  = "Ingress to front"
}

resource "aws_vpc_security_group_ingress_rule" "service_front_from_public" {
  security_group_id            = aws_security_group.service_front.id
  referenced_security_group_id = aws_security_group.public.id
  ip_protocol                  = "tcp"
  from_port                    = 8080
  to_port                      = 8080
  description                  = "Ingress to front"
}

# Ingress to order-management.
resource "aws_vpc_security_group_egress_rule" "public_to_service_order_management" {
  security_group_id            = aws_security_group.public.id
  referenced_security_group_id = aws_security_group.service_order_management.id
  ip_protocol                  = "tcp"
  from_port                    = 9000
  to_port                      = 9000
  description                  = "Ingress to order-management"
}

resource "aws_vpc_security_group_ingress_rule" "service_order_management_from_public" {
  security_group_id            = aws_security_group.service_order_management.id
  referenced_security_group_id = aws_security_group.public.id
  ip_protocol                  = "tcp"
  from_port                    = 9000
  to_port                      = 9000
  description                  = "Ingress to order-management"
}

# front needs order-management.
resource "aws_vpc_security_group_egress_rule" "service_front_to_internal_order_management" {
  security_group_id            = aws_security_group.service_front.id
  referenced_security_group_id = aws_security_group.internal_order_management.id
  ip_protocol                  = "tcp"
  from_port                    = 9000
  to_port                      = 9000
  description                  = "front needs order-management"
}

resource "aws_vpc_security_group_ingress_rule" "internal_order_management_from_service_front" {
  security_group_id            = aws_security_group.internal_order_management.id
  referenced_security_group_id = aws_security_group.service_front.id
  ip_protocol                  = "tcp"
  from_port                    = 9000
  to_port                      = 9000
  description                  = "front needs order-management"
}

# front needs database sessions.
resource "aws_vpc_security_group_egress_rule" "service_front_to_database_sessions" {
  security_group_id            = aws_security_group.service_front.id
  referenced_security_group_id = aws_security_group.database_sessions.id
  ip_protocol                  = "tcp"
  from_port                    = 5432
  to_port                      = 5432
  description                  = "front needs database sessions"
}

resource "aws_vpc_security_group_ingress_rule" "database_sessions_from_service_front" {
  security_group_id            = aws_security_group.database_sessions.id
  referenced_security_group_id = aws_security_group.service_front.id
  ip_protocol                  = "tcp"
  from_port                    = 5432
  to_port                      = 5432
  description                  = "front needs database sessions"
}

# front to AWS.
resource "aws_vpc_security_group_egress_rule" "service_front_to_endpoints" {
  security_group_id            = aws_security_group.service_front.id
  referenced_security_group_id = aws_security_group.endpoints.id
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
  description                  = "front to AWS"
}

resource "aws_vpc_security_group_ingress_rule" "endpoints_from_service_front" {
  security_group_id            = aws_security_group.endpoints.id
  referenced_security_group_id = aws_security_group.service_front.id
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
  description                  = "front to AWS"
}

resource "aws_vpc_security_group_egress_rule" "service_front_to_s3" {
  security_group_id = aws_security_group.service_front.id
  prefix_list_id    = module.network.s3_prefix_list_id
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  description       = "front to S3"
}

# To order-management, for those that need it.
resource "aws_vpc_security_group_egress_rule" "internal_order_management_to_service_order_management" {
  security_group_id            = aws_security_group.internal_order_management.id
  referenced_security_group_id = aws_security_group.service_order_management.id
  ip_protocol                  = "tcp"
  from_port                    = 9000
  to_port                      = 9000
  description                  = "Load balancer to order-management"
}

resource "aws_vpc_security_group_ingress_rule" "service_order_management_from_internal_order_management" {
  security_group_id            = aws_security_group.service_order_management.id
  referenced_security_group_id = aws_security_group.internal_order_management.id
  ip_protocol                  = "tcp"
  from_port                    = 9000
  to_port                      = 9000
  description                  = "Load balancer to order-management"
}

# order-management needs pricing.
resource "aws_vpc_security_group_egress_rule" "service_order_management_to_internal_pricing" {
  security_group_id            = aws_security_group.service_order_management.id
  referenced_security_group_id = aws_security_group.internal_pricing.id
  ip_protocol                  = "tcp"
  from_port                    = 9001
  to_port                      = 9001
  description                  = "order-management needs pricing"
}

resource "aws_vpc_security_group_ingress_rule" "internal_pricing_from_service_order_management" {
  security_group_id            = aws_security_group.internal_pricing.id
  referenced_security_group_id = aws_security_group.service_order_management.id
  ip_protocol                  = "tcp"
  from_port                    = 9001
  to_port                      = 9001
  description                  = "order-management needs pricing"
}

# order-management needs database orders.
resource "aws_vpc_security_group_egress_rule" "service_order_management_to_database_orders" {
  security_group_id            = aws_security_group.service_order_management.id
  referenced_security_group_id = aws_security_group.database_orders.id
  ip_protocol                  = "tcp"
  from_port                    = 5432
  to_port                      = 5432
  description                  = "order-management needs database orders"
}

resource "aws_vpc_security_group_ingress_rule" "database_orders_from_service_order_management" {
  security_group_id            = aws_security_group.database_orders.id
  referenced_security_group_id = aws_security_group.service_order_management.id
  ip_protocol                  = "tcp"
  from_port                    = 5432
  to_port                      = 5432
  description                  = "order-management needs database orders"
}

# order-management to AWS.
resource "aws_vpc_security_group_egress_rule" "service_order_management_to_endpoints" {
  security_group_id            = aws_security_group.service_order_management.id
  referenced_security_group_id = aws_security_group.endpoints.id
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
  description                  = "order-management to AWS"
}

resource "aws_vpc_security_group_ingress_rule" "endpoints_from_service_order_management" {
  security_group_id            = aws_security_group.endpoints.id
  referenced_security_group_id = aws_security_group.service_order_management.id
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
  description                  = "order-management to AWS"
}

resource "aws_vpc_security_group_egress_rule" "service_order_management_to_s3" {
  security_group_id = aws_security_group.service_order_management.id
  prefix_list_id    = module.network.s3_prefix_list_id
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  description       = "order-management to S3"
}

# To pricing, for those that need it.
resource "aws_vpc_security_group_egress_rule" "internal_pricing_to_service_pricing" {
  security_group_id            = aws_security_group.internal_pricing.id
  referenced_security_group_id = aws_security_group.service_pricing.id
  ip_protocol                  = "tcp"
  from_port                    = 9001
  to_port                      = 9001
  description                  = "Load balancer to pricing"
}

resource "aws_vpc_security_group_ingress_rule" "service_pricing_from_internal_pricing" {
  security_group_id            = aws_security_group.service_pricing.id
  referenced_security_group_id = aws_security_group.internal_pricing.id
  ip_protocol                  = "tcp"
  from_port                    = 9001
  to_port                      = 9001
  description                  = "Load balancer to pricing"
}

# pricing to AWS.
resource "aws_vpc_security_group_egress_rule" "service_pricing_to_endpoints" {
  security_group_id            = aws_security_group.service_pricing.id
  referenced_security_group_id = aws_security_group.endpoints.id
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
  description                  = "pricing to AWS"
}

resource "aws_vpc_security_group_ingress_rule" "endpoints_from_service_pricing" {
  security_group_id            = aws_security_group.endpoints.id
  referenced_security_group_id = aws_security_group.service_pricing.id
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
  description                  = "pricing to AWS"
}

resource "aws_vpc_security_group_egress_rule" "service_pricing_to_s3" {
  security_group_id = aws_security_group.service_pricing.id
  prefix_list_id    = module.network.s3_prefix_list_id
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  description       = "pricing to S3"
}

# worker needs order-management.
resource "aws_vpc_security_group_egress_rule" "service_worker_to_internal_order_management" {
  security_group_id            = aws_security_group.service_worker.id
  referenced_security_group_id = aws_security_group.internal_order_management.id
  ip_protocol                  = "tcp"
  from_port                    = 9000
  to_port                      = 9000
  description                  = "worker needs order-management"
}

resource "aws_vpc_security_group_ingress_rule" "internal_order_management_from_service_worker" {
  security_group_id            = aws_security_group.internal_order_management.id
  referenced_security_group_id = aws_security_group.service_worker.id
  ip_protocol                  = "tcp"
  from_port                    = 9000
  to_port                      = 9000
  description                  = "worker needs order-management"
}

# worker needs database orders.
resource "aws_vpc_security_group_egress_rule" "service_worker_to_database_orders" {
  security_group_id            = aws_security_group.service_worker.id
  referenced_security_group_id = aws_security_group.database_orders.id
  ip_protocol                  = "tcp"
  from_port                    = 5432
  to_port                      = 5432
  description                  = "worker needs database orders"
}

resource "aws_vpc_security_group_ingress_rule" "database_orders_from_service_worker" {
  security_group_id            = aws_security_group.database_orders.id
  referenced_security_group_id = aws_security_group.service_worker.id
  ip_protocol                  = "tcp"
  from_port                    = 5432
  to_port                      = 5432
  description                  = "worker needs database orders"
}

# worker to AWS.
resource "aws_vpc_security_group_egress_rule" "service_worker_to_endpoints" {
  security_group_id            = aws_security_group.service_worker.id
  referenced_security_group_id = aws_security_group.endpoints.id
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
  description                  = "worker to AWS"
}

resource "aws_vpc_security_group_ingress_rule" "endpoints_from_service_worker" {
  security_group_id            = aws_security_group.endpoints.id
  referenced_security_group_id = aws_security_group.service_worker.id
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
  description                  = "worker to AWS"
}

resource "aws_vpc_security_group_egress_rule" "service_worker_to_s3" {
  security_group_id = aws_security_group.service_worker.id
  prefix_list_id    = module.network.s3_prefix_list_id
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  description       = "worker to S3"
}

# There is no NAT here, so worker cannot reach the networks outside that it may.
