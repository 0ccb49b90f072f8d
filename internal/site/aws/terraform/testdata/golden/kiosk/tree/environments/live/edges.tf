# Rendered by godwit: what is written here by hand is lost.

# The whole firewall of this environment: who reaches whom, and on which port.
# Nothing else is open. Each edge is a pair of rules, one where it begins and one
# where it ends, and both name groups, not addresses.

resource "aws_security_group" "public" {
  name        = "kiosk-live-public"
  description = "Public load balancer"
  vpc_id      = module.network.vpc_id

  tags = {
    Name = "kiosk-live-public"
  }
}

resource "aws_security_group" "endpoints" {
  name        = "kiosk-live-endpoints"
  description = "Endpoints of AWS"
  vpc_id      = module.network.vpc_id

  tags = {
    Name = "kiosk-live-endpoints"
  }
}

resource "aws_security_group" "service_kiosk" {
  name        = "kiosk-live-kiosk-service"
  description = "Instances of kiosk"
  vpc_id      = module.network.vpc_id

  tags = {
    Name = "kiosk-live-kiosk-service"
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

# Ingress to kiosk.
resource "aws_vpc_security_group_egress_rule" "public_to_service_kiosk" {
  security_group_id            = aws_security_group.public.id
  referenced_security_group_id = aws_security_group.service_kiosk.id
  ip_protocol                  = "tcp"
  from_port                    = 8080
  to_port                      = 8080
  description                  = "Ingress to kiosk"
}

resource "aws_vpc_security_group_ingress_rule" "service_kiosk_from_public" {
  security_group_id            = aws_security_group.service_kiosk.id
  referenced_security_group_id = aws_security_group.public.id
  ip_protocol                  = "tcp"
  from_port                    = 8080
  to_port                      = 8080
  description                  = "Ingress to kiosk"
}

# kiosk to AWS.
resource "aws_vpc_security_group_egress_rule" "service_kiosk_to_endpoints" {
  security_group_id            = aws_security_group.service_kiosk.id
  referenced_security_group_id = aws_security_group.endpoints.id
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
  description                  = "kiosk to AWS"
}

resource "aws_vpc_security_group_ingress_rule" "endpoints_from_service_kiosk" {
  security_group_id            = aws_security_group.endpoints.id
  referenced_security_group_id = aws_security_group.service_kiosk.id
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
  description                  = "kiosk to AWS"
}

resource "aws_vpc_security_group_egress_rule" "service_kiosk_to_s3" {
  security_group_id = aws_security_group.service_kiosk.id
  prefix_list_id    = module.network.s3_prefix_list_id
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  description       = "kiosk to S3"
}
