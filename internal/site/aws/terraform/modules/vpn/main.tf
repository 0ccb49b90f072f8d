# The way between an environment's databases and those of the data centre that it
# moves out of. It goes when the migration is finished.

locals {
  # What a router of the last ten years can do, and nothing weaker. Groups 15 to
  # 18 are MODP of 3072 bits and more, 19 to 21 elliptic curves.
  ike        = ["ikev2"]
  encryption = ["AES256-GCM-16", "AES128-GCM-16"]
  integrity  = ["SHA2-256", "SHA2-384", "SHA2-512"]
  groups     = [15, 16, 17, 18, 19, 20, 21]
}

resource "aws_customer_gateway" "source" {
  type       = "ipsec.1"
  ip_address = var.gateway_address

  # Routes are static; AWS asks for a number all the same.
  bgp_asn = "65000"

  tags = { Name = "${var.prefix}-source" }
}

resource "aws_vpn_gateway" "this" {
  tags = { Name = var.prefix }
}

resource "aws_vpn_gateway_attachment" "this" {
  vpc_id         = var.vpc_id
  vpn_gateway_id = aws_vpn_gateway.this.id
}

resource "aws_cloudwatch_log_group" "tunnels" {
  name              = "/${var.prefix}/vpn"
  retention_in_days = var.log_days
  kms_key_id        = var.key_arn
}

resource "aws_vpn_connection" "this" {
  type                = "ipsec.1"
  customer_gateway_id = aws_customer_gateway.source.id
  vpn_gateway_id      = aws_vpn_gateway.this.id
  static_routes_only  = true

  # AWS makes the keys of the tunnels and keeps them in Secrets Manager: neither
  # Terraform's state nor EC2's answers have them.
  preshared_key_storage = "SecretsManager"

  # The tunnel itself lets only the source's network through.
  local_ipv4_network_cidr = var.source_network

  # The second tunnel takes over when AWS works on the first, and comes back by
  # itself after a break.
  tunnel1_ike_versions                 = local.ike
  tunnel1_phase1_encryption_algorithms = local.encryption
  tunnel1_phase1_integrity_algorithms  = local.integrity
  tunnel1_phase1_dh_group_numbers      = local.groups
  tunnel1_phase2_encryption_algorithms = local.encryption
  tunnel1_phase2_integrity_algorithms  = local.integrity
  tunnel1_phase2_dh_group_numbers      = local.groups
  tunnel1_startup_action               = "start"
  tunnel1_dpd_timeout_action           = "restart"

  tunnel1_log_options {
    cloudwatch_log_options {
      log_enabled       = true
      log_group_arn     = aws_cloudwatch_log_group.tunnels.arn
      log_output_format = "json"
    }
  }

  tunnel2_ike_versions                 = local.ike
  tunnel2_phase1_encryption_algorithms = local.encryption
  tunnel2_phase1_integrity_algorithms  = local.integrity
  tunnel2_phase1_dh_group_numbers      = local.groups
  tunnel2_phase2_encryption_algorithms = local.encryption
  tunnel2_phase2_integrity_algorithms  = local.integrity
  tunnel2_phase2_dh_group_numbers      = local.groups
  tunnel2_startup_action               = "start"
  tunnel2_dpd_timeout_action           = "restart"

  tunnel2_log_options {
    cloudwatch_log_options {
      log_enabled       = true
      log_group_arn     = aws_cloudwatch_log_group.tunnels.arn
      log_output_format = "json"
    }
  }

  tags = { Name = var.prefix }
}

resource "aws_vpn_connection_route" "source" {
  vpn_connection_id      = aws_vpn_connection.this.id
  destination_cidr_block = var.source_network
}

# Only the data tier learns the way: instances cannot reach the data centre, nor
# it them.
resource "aws_vpn_gateway_route_propagation" "data" {
  # By position: how many there are is known before AWS has made them.
  count = length(var.route_table_ids)

  vpn_gateway_id = aws_vpn_gateway_attachment.this.vpn_gateway_id
  route_table_id = var.route_table_ids[count.index]
}
