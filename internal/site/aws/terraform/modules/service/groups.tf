resource "aws_autoscaling_group" "this" {
  for_each = local.colours

  name                = each.value
  vpc_zone_identifier = var.subnet_ids

  # Empty at first. A rollout says how many there are and of which version; the
  # version is always a number: $Latest would start whatever was written last,
  # and cannot be rolled back from.
  min_size         = 0
  max_size         = 0
  desired_capacity = 0

  launch_template {
    id      = aws_launch_template.this.id
    version = tostring(aws_launch_template.this.latest_version)
  }

  # The only way by which instances come behind a load balancer. An attachment
  # of its own would be undone by this list, and the other way round.
  target_group_arns = [for target, at in local.targets : aws_lb_target_group.this[target].arn if at.colour == each.key]

  # What the load balancer calls unhealthy is replaced; the replacement is ready
  # before the old one ends.
  health_check_type         = length(local.targets) > 0 ? "ELB" : "EC2"
  health_check_grace_period = max(60, var.scale.warmup)
  default_instance_warmup   = var.scale.warmup

  instance_maintenance_policy {
    min_healthy_percentage = 100
    max_healthy_percentage = 200
  }

  # A place that does not serve keeps quiet: nothing starts or ends an instance
  # there unasked, and no peak wakes it.
  suspended_processes = ["AlarmNotification", "AZRebalance", "ReplaceUnhealthy", "ScheduledActions"]

  metrics_granularity = "1Minute"
  enabled_metrics     = ["GroupDesiredCapacity", "GroupInServiceInstances", "GroupMaxSize", "GroupMinSize", "GroupPendingInstances", "GroupTerminatingInstances"]

  # Rollouts wait for readiness, and know what they wait for.
  wait_for_capacity_timeout = "0"

  dynamic "tag" {
    for_each = merge(local.started_tags, { Name = each.value, "godwit:colour" = each.key })

    content {
      key                 = tag.key
      value               = tag.value
      propagate_at_launch = true
    }
  }

  # All of this is changed by rollouts and by scaling. A plan after a rollout is
  # empty.
  lifecycle {
    ignore_changes = [min_size, max_size, desired_capacity, launch_template, suspended_processes, tag]
  }

  # An instance that started without its permissions would fail.
  depends_on = [aws_iam_role_policy.secrets, aws_iam_role_policy.telemetry]
}

# An instance's end waits until it says that it has drained. While it does, it
# asks for more time every minute: one that says nothing any more is ended.
resource "aws_autoscaling_lifecycle_hook" "drain" {
  for_each = local.colours # known before the groups are: import needs it

  name                   = var.names.drain_hook
  autoscaling_group_name = aws_autoscaling_group.this[each.key].name
  lifecycle_transition   = "autoscaling:EC2_INSTANCE_TERMINATING"
  heartbeat_timeout      = 120
  default_result         = "CONTINUE"
}

# Where no load balancer asks whether an instance is healthy, its own agent does:
# it goes into service once its health check was answered, and never when it is
# not. Each start of the service has two minutes and three missed checks, and the
# agent starts it four times; five minutes are for the boot and for secrets. Who
# does not answer by then does not at all, so nobody asks for more time.
#
# A resource of its own, for a block in the group counts only when that is made.
# It is there before the first instance: groups are made empty.
resource "aws_autoscaling_lifecycle_hook" "launch" {
  for_each = length(var.faces) == 0 ? local.colours : {}

  name                   = var.names.launch_hook
  autoscaling_group_name = aws_autoscaling_group.this[each.key].name
  lifecycle_transition   = "autoscaling:EC2_INSTANCE_LAUNCHING"
  heartbeat_timeout      = 300 + 4 * (120 + 3 * (var.health.interval + var.health.timeout))
  default_result         = "ABANDON"
}
