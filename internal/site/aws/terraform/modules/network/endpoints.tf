# AWS itself is reached inside the network: instances need no way to the
# internet for their secrets, logs and metrics.

locals {
  # Whoever got hold of somebody else's credentials cannot carry data out
  # through an endpoint: only this account's own principals pass. Package
  # repositories, which are asked by nobody in particular, stay shut too: images
  # have all that they need.
  endpoint_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = "*"
      Action    = "*"
      Resource  = "*"
      Condition = { StringEquals = { "aws:PrincipalAccount" = data.aws_caller_identity.current.account_id } }
    }]
  })
}

resource "aws_vpc_endpoint" "interface" {
  for_each = var.endpoints

  vpc_id              = aws_vpc.this.id
  vpc_endpoint_type   = "Interface"
  service_name        = "com.amazonaws.${var.region}.${each.value}"
  subnet_ids          = [for subnet in aws_subnet.private : subnet.id]
  security_group_ids  = [var.endpoint_security_group_id]
  private_dns_enabled = true
  policy              = local.endpoint_policy

  tags = { Name = "${var.name}-${each.value}" }
}

# S3 costs nothing through a gateway.
resource "aws_vpc_endpoint" "s3" {
  vpc_id            = aws_vpc.this.id
  vpc_endpoint_type = "Gateway"
  service_name      = "com.amazonaws.${var.region}.s3"
  route_table_ids   = [for table in aws_route_table.private : table.id]
  policy            = local.endpoint_policy

  tags = { Name = "${var.name}-s3" }
}
