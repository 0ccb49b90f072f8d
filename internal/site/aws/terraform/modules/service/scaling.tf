# Scaling holds in both places, but an empty one has a maximum of 0 and does not
# move. A group grows when any policy wants it to, and shrinks when all do.

locals {
  # The load balancer counts requests per minute.
  request_targets = var.scale.requests > 0 ? local.targets : {}
}

# Requests follow the load itself, and do not depend on what instances do. But a
# load balancer publishes only once a minute, and each one sees only its own.
resource "aws_autoscaling_policy" "requests" {
  for_each = local.request_targets

  name                   = "requests-${each.value.face}"
  autoscaling_group_name = aws_autoscaling_group.this[each.value.colour].name
  policy_type            = "TargetTrackingScaling"

  target_tracking_configuration {
    target_value = var.scale.requests * 60

    predefined_metric_specification {
      predefined_metric_type = "ALBRequestCountPerTarget"
      resource_label         = "${var.faces[each.value.face].load_balancer}/${aws_lb_target_group.this[each.key].arn_suffix}"
    }
  }

  # AWS refuses the policy as long as nothing forwards to the target group.
  depends_on = [aws_lb_listener_rule.host, aws_lb_listener_rule.all]
}

# The processor, published every ten seconds by the agent on each instance: it
# sees a sudden rush five times sooner, and the sum of all load balancers.
resource "aws_autoscaling_policy" "cpu" {
  for_each = local.colours

  name                   = "cpu"
  autoscaling_group_name = aws_autoscaling_group.this[each.key].name
  policy_type            = "TargetTrackingScaling"

  target_tracking_configuration {
    target_value = var.cpu_target

    customized_metric_specification {
      metrics {
        id          = "cpu"
        label       = "Processor of the instances of ${each.value}"
        return_data = true

        metric_stat {
          stat   = "Average"
          period = 10

          metric {
            namespace   = "godwit"
            metric_name = "cpu_usage_active"

            dimensions {
              name  = "AutoScalingGroupName"
              value = each.value
            }
          }
        }
      }
    }
  }
}

# Load that is known beforehand. Only the lower bound moves: how many more are
# needed is left to the policies above. Rollouts wake these actions in the place
# that serves.
resource "aws_autoscaling_schedule" "peak" {
  for_each = merge([
    for colour, group in local.colours : {
      for name, peak in var.peaks : "${colour}-${name}" => merge(peak, { name = name, colour = colour })
    }
  ]...)

  scheduled_action_name  = each.value.name
  autoscaling_group_name = aws_autoscaling_group.this[each.value.colour].name
  recurrence             = each.value.recurrence
  time_zone              = each.value.timezone
  min_size               = each.value.min

  # -1: as it is.
  max_size         = -1
  desired_capacity = -1
}
