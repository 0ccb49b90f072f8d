# Rendered by godwit: what is written here by hand is lost.

# The whole firewall of this environment: who reaches whom, and on which port.
# Nothing else is open. Each edge is a pair of rules, one where it begins and one
# where it ends, and both name groups, not addresses.

resource "aws_security_group" "public" {
  name        = "moving-production-public"
  description = "Public load balancer"
  vpc_id      = module.network.vpc_id

  tags = {
    Name = "moving-production-public"
  }
}

resource "aws_security_group" "endpoints" {
  name        = "moving-production-endpoints"
  description = "Endpoints of AWS"
  vpc_id      = module.network.vpc_id

  tags = {
    Name = "moving-production-endpoints"
  }
}

resource "aws_security_group" "service_till" {
  name        = "moving-production-till-service"
  description = "Instances of till"
  vpc_id      = module.network.vpc_id

  tags = {
    Name = "moving-production-till-service"
  }
}

resource "aws_security_group" "database_till" {
  name        = "moving-production-till-database"
  description = "Database till"
  vpc_id      = module.network.vpc_id

  tags = {
    Name = "moving-production-till-database"
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

# Ingress to till.
resource "aws_vpc_security_group_egress_rule" "public_to_service_till" {
  security_group_id            = aws_security_group.public.id
  referenced_security_group_id = aws_security_group.service_till.id
  ip_protocol                  = "tcp"
  from_port                    = 8080
  to_port                      = 8080
  description                  = "Ingress to till"
}

resource "aws_vpc_security_group_ingress_rule" "service_till_from_public" {
  security_group_id            = aws_security_group.service_till.id
  referenced_security_group_id = aws_security_group.public.id
  ip_protocol                  = "tcp"
  from_port                    = 8080
  to_port                      = 8080
  description                  = "Ingress to till"
}

# till needs database till.
resource "aws_vpc_security_group_egress_rule" "service_till_to_database_till" {
  security_group_id            = aws_security_group.service_till.id
  referenced_security_group_id = aws_security_group.database_till.id
  ip_protocol                  = "tcp"
  from_port                    = 5432
  to_port                      = 5432
  description                  = "till needs database till"
}

resource "aws_vpc_security_group_ingress_rule" "database_till_from_service_till" {
  security_group_id            = aws_security_group.database_till.id
  referenced_security_group_id = aws_security_group.service_till.id
  ip_protocol                  = "tcp"
  from_port                    = 5432
  to_port                      = 5432
  description                  = "till needs database till"
}

# till to AWS.
resource "aws_vpc_security_group_egress_rule" "service_till_to_endpoints" {
  security_group_id            = aws_security_group.service_till.id
  referenced_security_group_id = aws_security_group.endpoints.id
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
  description                  = "till to AWS"
}

resource "aws_vpc_security_group_ingress_rule" "endpoints_from_service_till" {
  security_group_id            = aws_security_group.endpoints.id
  referenced_security_group_id = aws_security_group.service_till.id
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
  description                  = "till to AWS"
}

resource "aws_vpc_security_group_egress_rule" "service_till_to_s3" {
  security_group_id = aws_security_group.service_till.id
  prefix_list_id    = module.network.s3_prefix_list_id
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  description       = "till to S3"
}

# Replication with the data centre, both ways, while a migration is under way.
resource "aws_vpc_security_group_ingress_rule" "database_till_from_source" {
  security_group_id = aws_security_group.database_till.id
  cidr_ipv4         = "192.168.10.0/24"
  ip_protocol       = "tcp"
  from_port         = 5432
  to_port           = 5432
  description       = "The source to database till"
}

resource "aws_vpc_security_group_egress_rule" "database_till_to_source" {
  security_group_id = aws_security_group.database_till.id
  cidr_ipv4         = "192.168.10.0/24"
  ip_protocol       = "tcp"
  from_port         = 5432
  to_port           = 5432
  description       = "Database till to the source"
}
