data "aws_caller_identity" "current" {}

resource "aws_lb" "this" {
  name               = var.name
  load_balancer_type = "application"
  internal           = false
  ip_address_type    = "dualstack"
  subnets            = var.subnet_ids
  security_groups    = [var.security_group_id]

  # Headers that mean one thing here and another to the service are how requests
  # are smuggled past a firewall.
  drop_invalid_header_fields = true
  desync_mitigation_mode     = "defensive"

  # Without the firewall nobody is let in.
  enable_waf_fail_open = false

  enable_deletion_protection = var.protected

  access_logs {
    bucket  = aws_s3_bucket.logs.id
    enabled = true
  }

  # A load balancer tries at once whether it may write there.
  depends_on = [aws_s3_bucket_policy.logs]
}

resource "aws_lb_listener" "https" {
  load_balancer_arn = aws_lb.this.arn
  port              = 443
  protocol          = "HTTPS"
  certificate_arn   = aws_acm_certificate_validation.this[local.first_host].certificate_arn

  # TLS 1.3 and 1.2, forward secrecy only, hybrid post-quantum key exchange for
  # clients that know it: what AWS recommends.
  ssl_policy = "ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09"

  # Who came by HTTPS once does not come by HTTP again.
  routing_http_response_strict_transport_security_header_value = "max-age=31536000"

  # What no service's rule takes: unknown hosts, and bare addresses.
  default_action {
    type = "fixed-response"

    fixed_response {
      content_type = "text/plain"
      message_body = "There is nothing here."
      status_code  = "404"
    }
  }
}

resource "aws_lb_listener" "http" {
  load_balancer_arn = aws_lb.this.arn
  port              = 80
  protocol          = "HTTP"

  default_action {
    type = "redirect"

    redirect {
      protocol    = "HTTPS"
      port        = "443"
      status_code = "HTTP_301"
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "refused" {
  alarm_name        = "${var.prefix}-public-refused"
  alarm_description = "The public load balancer answers with errors of its own: no healthy instance behind it, or too slow a one."

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
