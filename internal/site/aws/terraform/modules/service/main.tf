locals {
  # Landscape and environment come from the provider's default tags, except
  # where those do not reach: on what a group or a launch template starts.
  tags = { "godwit:service" = var.service }
  started_tags = merge(local.tags, {
    "godwit:landscape"   = var.landscape
    "godwit:environment" = var.environment
  })

  # Two places for a service: while one serves, the next release is launched in
  # the other.
  colours = var.names.groups

  # Each place has a target group behind each load balancer.
  targets = merge([
    for face, at in var.faces : {
      for colour, name in at.target_groups : "${face}-${colour}" => { face = face, colour = colour, name = name }
    }
  ]...)
}

resource "aws_lb_target_group" "this" {
  for_each = local.targets

  name        = each.value.name
  vpc_id      = var.vpc_id
  port        = var.port
  protocol    = "HTTP"
  target_type = "instance"

  deregistration_delay          = var.drain_seconds
  load_balancing_algorithm_type = "least_outstanding_requests"
  slow_start                    = 0 # rollouts warm up by weight, and this algorithm knows no slow start

  health_check {
    path                = var.health.path
    port                = "traffic-port"
    protocol            = "HTTP"
    matcher             = "200-299"
    interval            = var.health.interval
    timeout             = var.health.timeout
    healthy_threshold   = 2
    unhealthy_threshold = 2
  }

  tags = merge(local.tags, { "godwit:colour" = each.value.colour })
}

# Rules and their weights. Terraform writes the first ones; then weights belong
# to rollouts. Hosts differ, so their order means nothing, and AWS chooses it:
# numbers of ours would all move when an ingress is added in between.
resource "aws_lb_listener_rule" "host" {
  for_each = merge([
    for face, at in var.faces : { for host in at.hosts : host => face }
  ]...)

  listener_arn = var.faces[each.value].listener_arn

  condition {
    host_header {
      values = [each.key]
    }
  }

  action {
    type = "forward"

    forward {
      target_group {
        arn    = aws_lb_target_group.this["${each.value}-blue"].arn
        weight = 100
      }

      target_group {
        arn    = aws_lb_target_group.this["${each.value}-green"].arn
        weight = 0
      }
    }
  }

  tags = local.tags

  lifecycle {
    ignore_changes = [action]
  }
}

# A load balancer of the service's own needs no host: all that comes is for it.
resource "aws_lb_listener_rule" "all" {
  for_each = { for face, at in var.faces : face => at if length(at.hosts) == 0 }

  listener_arn = each.value.listener_arn
  priority     = 1

  condition {
    path_pattern {
      values = ["*"]
    }
  }

  action {
    type = "forward"

    forward {
      target_group {
        arn    = aws_lb_target_group.this["${each.key}-blue"].arn
        weight = 100
      }

      target_group {
        arn    = aws_lb_target_group.this["${each.key}-green"].arn
        weight = 0
      }
    }
  }

  tags = local.tags

  lifecycle {
    ignore_changes = [action]
  }
}

resource "aws_cloudwatch_log_group" "this" {
  name              = var.names.log_group
  retention_in_days = var.log_days
  kms_key_id        = var.key_arn

  tags = local.tags
}

# What its configuration has that is secret. Made empty: no secret is ever in
# Terraform's state; godwit fills it.
resource "aws_secretsmanager_secret" "this" {
  count = var.secret_name == null ? 0 : 1

  name                    = var.secret_name
  description             = "Secret configuration of ${var.service} in ${var.environment}."
  kms_key_id              = var.key_arn
  recovery_window_in_days = var.protected ? 30 : 0

  tags = local.tags
}
