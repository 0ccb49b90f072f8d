# A load balancer of the service's own. One that several services share would
# let whoever reaches it reach all of them, and a security group says who
# reaches it, not what they ask for.

resource "aws_lb" "this" {
  name               = var.name
  load_balancer_type = "application"
  internal           = true
  subnets            = var.subnet_ids
  security_groups    = [var.security_group_id]

  drop_invalid_header_fields = true
  desync_mitigation_mode     = "defensive"

  # Not even in a protected environment: it keeps nothing, and goes when nobody
  # needs the service any more.
  enable_deletion_protection = false
}

# Plain HTTP, as services speak to each other at every site; it does not leave
# the network, and TLS here would need certificates for private names.
resource "aws_lb_listener" "this" {
  load_balancer_arn = aws_lb.this.arn
  port              = var.port
  protocol          = "HTTP"

  # The service's own rule forwards; this is for what comes before it exists.
  default_action {
    type = "fixed-response"

    fixed_response {
      content_type = "text/plain"
      message_body = "${var.service} is not here."
      status_code  = "503"
    }
  }
}

resource "aws_route53_record" "this" {
  zone_id = var.zone_id
  name    = var.host
  type    = "A"

  alias {
    name                   = aws_lb.this.dns_name
    zone_id                = aws_lb.this.zone_id
    evaluate_target_health = false # there is no other place to send anybody to
  }
}

resource "aws_cloudwatch_metric_alarm" "refused" {
  alarm_name        = "${var.name}-refused"
  alarm_description = "The load balancer of ${var.service} answers with errors of its own: no healthy instance, or too slow a one."

  namespace           = "AWS/ApplicationELB"
  metric_name         = "HTTPCode_ELB_5XX_Count"
  dimensions          = { LoadBalancer = aws_lb.this.arn_suffix }
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = 3
  datapoints_to_alarm = 2
  threshold           = 5
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching" # no request, no error

  alarm_actions = [var.topic_arn]
  ok_actions    = [var.topic_arn]
}
