data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_availability_zones" "available" {
  state = "available"

  # Local zones have neither RDS nor load balancers.
  filter {
    name   = "opt-in-status"
    values = ["opt-in-not-required"]
  }
}

locals {
  # By position, not by name: how many there are is known before AWS is asked.
  zones = { for i in range(var.zones) : tostring(i) => data.aws_availability_zones.available.names[i] }

  # The network is cut once, so that a third zone can be added without moving
  # anything: an eighth for each private subnet, where instances and load
  # balancers take many addresses; a sixteenth for each other one.
  public_cidrs  = { for i, zone in local.zones : i => cidrsubnet(var.cidr, 4, tonumber(i)) }
  data_cidrs    = { for i, zone in local.zones : i => cidrsubnet(var.cidr, 4, 4 + tonumber(i)) }
  private_cidrs = { for i, zone in local.zones : i => cidrsubnet(var.cidr, 3, 4 + tonumber(i)) }
}

resource "aws_vpc" "this" {
  cidr_block = var.cidr

  # Clients come by IPv6 too, but only as far as the public load balancer.
  assign_generated_ipv6_cidr_block = true

  # Private names of endpoints, services and databases need both.
  enable_dns_support   = true
  enable_dns_hostnames = true

  tags = { Name = var.name }
}

# Every VPC has this group, and whatever names no other falls into it. Without a
# rule nothing passes.
resource "aws_default_security_group" "closed" {
  vpc_id = aws_vpc.this.id

  tags = { Name = "${var.name}-closed" }
}

# Public: only load balancers and NAT gateways.
resource "aws_subnet" "public" {
  for_each = local.zones

  vpc_id            = aws_vpc.this.id
  availability_zone = each.value
  cidr_block        = local.public_cidrs[each.key]
  ipv6_cidr_block   = cidrsubnet(aws_vpc.this.ipv6_cidr_block, 8, tonumber(each.key))

  # Nothing gets a public address by being put here.
  map_public_ip_on_launch = false

  tags = { Name = "${var.name}-public-${each.value}" }
}

# Private: instances, internal load balancers, endpoints.
resource "aws_subnet" "private" {
  for_each = local.zones

  vpc_id                  = aws_vpc.this.id
  availability_zone       = each.value
  cidr_block              = local.private_cidrs[each.key]
  map_public_ip_on_launch = false

  tags = { Name = "${var.name}-private-${each.value}" }
}

# Data: databases, and no way to the internet in either direction.
resource "aws_subnet" "data" {
  for_each = local.zones

  vpc_id                  = aws_vpc.this.id
  availability_zone       = each.value
  cidr_block              = local.data_cidrs[each.key]
  map_public_ip_on_launch = false

  tags = { Name = "${var.name}-data-${each.value}" }
}
