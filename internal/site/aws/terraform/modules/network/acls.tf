# Network ACLs are the second fence, one for each tier: they know no instances,
# only subnets, and hold when a security group was opened by mistake. They keep
# no state, so the way back of a connection has to be open too: that is what the
# ports from 1024 on are for. DNS and time come from the network itself and pass
# no ACL.

locals {
  ephemeral = { from = 1024, to = 65535 }

  acl_rules = {
    public = concat(
      [
        { egress = false, cidr = "0.0.0.0/0", from = 443, to = 443 },
        { egress = false, cidr = "0.0.0.0/0", from = 80, to = 80 },
        # Answers of instances to the load balancer, and from outside to the NAT gateways.
        { egress = false, cidr = "0.0.0.0/0", from = local.ephemeral.from, to = local.ephemeral.to },
        # The load balancer to instances, on whatever port they listen.
        { egress = true, cidr = var.cidr, from = 0, to = 65535 },
        # Answers to clients.
        { egress = true, cidr = "0.0.0.0/0", from = local.ephemeral.from, to = local.ephemeral.to },
      ],
      # What goes through the NAT gateways.
      var.nat == "none" ? [] : [{ egress = true, cidr = "0.0.0.0/0", from = 443, to = 443 }],
    )

    private = [
      # Between load balancers, instances and endpoints: which to which is said
      # by security groups.
      { egress = false, cidr = var.cidr, from = 0, to = 65535 },
      # S3 has public addresses even through its gateway endpoint, and so have
      # the answers that come through a NAT gateway.
      { egress = false, cidr = "0.0.0.0/0", from = local.ephemeral.from, to = local.ephemeral.to },
      { egress = true, cidr = var.cidr, from = 0, to = 65535 },
      { egress = true, cidr = "0.0.0.0/0", from = 443, to = 443 },
    ]

    data = concat(
      flatten([for cidr in values(local.private_cidrs) : [
        { egress = false, cidr = cidr, from = 5432, to = 5432 },
        { egress = true, cidr = cidr, from = local.ephemeral.from, to = local.ephemeral.to },
      ]]),
      # Replication with the source goes both ways while a migration is under way.
      flatten([for cidr in var.database_peers : [
        { egress = false, cidr = cidr, from = 5432, to = 5432 },
        { egress = false, cidr = cidr, from = local.ephemeral.from, to = local.ephemeral.to },
        { egress = true, cidr = cidr, from = 5432, to = 5432 },
        { egress = true, cidr = cidr, from = local.ephemeral.from, to = local.ephemeral.to },
      ]]),
    )
  }

  # Clients by IPv6, as far as the public load balancer.
  acl_rules_ipv6 = [
    { egress = false, from = 443, to = 443 },
    { egress = false, from = 80, to = 80 },
    { egress = true, from = local.ephemeral.from, to = local.ephemeral.to },
  ]

  acl_subnets = {
    public  = aws_subnet.public
    private = aws_subnet.private
    data    = aws_subnet.data
  }
}

resource "aws_network_acl" "this" {
  for_each = local.acl_subnets

  vpc_id     = aws_vpc.this.id
  subnet_ids = [for subnet in each.value : subnet.id]

  tags = { Name = "${var.name}-${each.key}" }
}

resource "aws_network_acl_rule" "ipv4" {
  for_each = merge([
    for tier, rules in local.acl_rules : {
      for rule in rules :
      "${tier}-${rule.egress ? "out" : "in"}-${rule.cidr}-${rule.from}" => merge(rule, { tier = tier, number = 100 + 10 * index(rules, rule) })
    }
  ]...)

  network_acl_id = aws_network_acl.this[each.value.tier].id
  rule_number    = each.value.number
  rule_action    = "allow"
  egress         = each.value.egress
  protocol       = "tcp"
  cidr_block     = each.value.cidr
  from_port      = each.value.from
  to_port        = each.value.to
}

resource "aws_network_acl_rule" "ipv6" {
  for_each = { for rule in local.acl_rules_ipv6 : "public-${rule.egress ? "out" : "in"}-${rule.from}" => merge(rule, { number = 500 + 10 * index(local.acl_rules_ipv6, rule) }) }

  network_acl_id  = aws_network_acl.this["public"].id
  rule_number     = each.value.number
  rule_action     = "allow"
  egress          = each.value.egress
  protocol        = "tcp"
  ipv6_cidr_block = "::/0"
  from_port       = each.value.from
  to_port         = each.value.to
}
