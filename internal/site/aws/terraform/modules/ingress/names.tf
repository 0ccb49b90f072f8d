# Certificates and names, one for each host: a certificate for all of them would
# have to be replaced whenever a host is added.

locals {
  # The certificate that is shown to clients that name no host.
  first_host = sort(var.hosts)[0]

  # Names that lead here. Records that are there already, leading elsewhere, are
  # never overwritten: clients are turned by who means to.
  names = var.dns ? var.hosts : toset([])

  # Each certificate is for one name, so that there is one record to prove it by.
  proofs = { for host in var.hosts : host => one(aws_acm_certificate.this[host].domain_validation_options) }
}

data "aws_route53_zone" "this" {
  name         = var.domain
  private_zone = false
}

resource "aws_acm_certificate" "this" {
  for_each = var.hosts

  domain_name       = each.value
  validation_method = "DNS"

  tags = { Name = each.value }

  # A listener is never without a certificate.
  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_route53_record" "proof" {
  for_each = var.hosts

  zone_id = data.aws_route53_zone.this.zone_id
  name    = local.proofs[each.value].resource_record_name
  type    = local.proofs[each.value].resource_record_type
  records = [local.proofs[each.value].resource_record_value]
  ttl     = 300

  # A certificate made anew for the same name has the same proof.
  allow_overwrite = true
}

resource "aws_acm_certificate_validation" "this" {
  for_each = var.hosts

  certificate_arn         = aws_acm_certificate.this[each.value].arn
  validation_record_fqdns = [aws_route53_record.proof[each.value].fqdn]
}

resource "aws_lb_listener_certificate" "this" {
  for_each = setsubtract(var.hosts, [local.first_host])

  listener_arn    = aws_lb_listener.https.arn
  certificate_arn = aws_acm_certificate_validation.this[each.value].certificate_arn
}

resource "aws_route53_record" "ipv4" {
  for_each = local.names

  zone_id = data.aws_route53_zone.this.zone_id
  name    = each.value
  type    = "A"

  alias {
    name                   = aws_lb.this.dns_name
    zone_id                = aws_lb.this.zone_id
    evaluate_target_health = true
  }
}

resource "aws_route53_record" "ipv6" {
  for_each = local.names

  zone_id = data.aws_route53_zone.this.zone_id
  name    = each.value
  type    = "AAAA"

  alias {
    name                   = aws_lb.this.dns_name
    zone_id                = aws_lb.this.zone_id
    evaluate_target_health = true
  }
}
