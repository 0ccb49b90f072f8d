# What somebody on call is told. Both places count: during a rollout both serve.

resource "aws_cloudwatch_metric_alarm" "errors" {
  for_each = var.faces

  alarm_name        = "${var.names.launch_template}-${each.key}-errors"
  alarm_description = "More than one in a hundred requests to ${var.service} fails."

  comparison_operator = "GreaterThanThreshold"
  threshold           = 1
  evaluation_periods  = 3
  datapoints_to_alarm = 2
  treat_missing_data  = "notBreaching"

  metric_query {
    id          = "ratio"
    label       = "Failed requests, percent"
    expression  = "100 * (FILL(errors_blue, 0) + FILL(errors_green, 0)) / (FILL(requests_blue, 0) + FILL(requests_green, 0))"
    return_data = true
  }

  dynamic "metric_query" {
    for_each = {
      for pair in setproduct(["errors", "requests"], keys(local.colours)) : "${pair[0]}_${pair[1]}" => {
        metric = pair[0] == "errors" ? "HTTPCode_Target_5XX_Count" : "RequestCount"
        target = "${each.key}-${pair[1]}"
      }
    }

    content {
      id = metric_query.key

      metric {
        namespace   = "AWS/ApplicationELB"
        metric_name = metric_query.value.metric
        stat        = "Sum"
        period      = 60

        dimensions = {
          LoadBalancer = each.value.load_balancer
          TargetGroup  = aws_lb_target_group.this[metric_query.value.target].arn_suffix
        }
      }
    }
  }

  alarm_actions = [var.topic_arn]
  ok_actions    = [var.topic_arn]

  tags = local.tags
}

resource "aws_cloudwatch_metric_alarm" "slow" {
  for_each = local.targets

  alarm_name        = "${var.names.launch_template}-${each.key}-slow"
  alarm_description = "One in a hundred requests to ${var.service} takes longer than ${var.slow_seconds} s."

  namespace   = "AWS/ApplicationELB"
  metric_name = "TargetResponseTime"

  dimensions = {
    LoadBalancer = var.faces[each.value.face].load_balancer
    TargetGroup  = aws_lb_target_group.this[each.key].arn_suffix
  }

  extended_statistic                    = "p99"
  evaluate_low_sample_count_percentiles = "ignore" # of a handful of requests, p99 is the slowest
  period                                = 60
  evaluation_periods                    = 5
  datapoints_to_alarm                   = 3
  comparison_operator                   = "GreaterThanThreshold"
  threshold                             = var.slow_seconds
  treat_missing_data                    = "notBreaching"

  alarm_actions = [var.topic_arn]
  ok_actions    = [var.topic_arn]

  tags = merge(local.tags, { "godwit:colour" = each.value.colour })
}

resource "aws_cloudwatch_metric_alarm" "unhealthy" {
  for_each = local.targets

  alarm_name        = "${var.names.launch_template}-${each.key}-unhealthy"
  alarm_description = "Instances of ${var.service} stay unhealthy, although they are replaced."

  namespace   = "AWS/ApplicationELB"
  metric_name = "UnHealthyHostCount"

  dimensions = {
    LoadBalancer = var.faces[each.value.face].load_balancer
    TargetGroup  = aws_lb_target_group.this[each.key].arn_suffix
  }

  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 5
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"

  alarm_actions = [var.topic_arn]
  ok_actions    = [var.topic_arn]

  tags = merge(local.tags, { "godwit:colour" = each.value.colour })
}

resource "aws_cloudwatch_metric_alarm" "full" {
  # A service of fixed size is always at its maximum.
  for_each = var.scale.max > var.scale.min ? local.colours : {}

  alarm_name        = "${each.value}-full"
  alarm_description = "${var.service} runs as many instances as it may: more load will slow it down."

  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 1
  evaluation_periods  = 5
  treat_missing_data  = "notBreaching"

  # An empty place, whose maximum is 0, is not full.
  metric_query {
    id          = "full"
    label       = "At its maximum"
    expression  = "IF(maximum > 0 AND running >= maximum, 1, 0)"
    return_data = true
  }

  dynamic "metric_query" {
    for_each = { running = "GroupInServiceInstances", maximum = "GroupMaxSize" }

    content {
      id = metric_query.key

      metric {
        namespace   = "AWS/AutoScaling"
        metric_name = metric_query.value
        stat        = "Maximum"
        period      = 60
        dimensions  = { AutoScalingGroupName = each.value }
      }
    }
  }

  alarm_actions = [var.topic_arn]
  ok_actions    = [var.topic_arn]

  tags = merge(local.tags, { "godwit:colour" = each.key })
}
