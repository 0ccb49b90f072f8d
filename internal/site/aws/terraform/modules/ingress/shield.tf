# The firewall for requests. Rates come first, for they cost least to decide:
# tighter ones for paths, then the one for all, then the known attacks.

locals {
  managed = {
    "common"           = "AWSManagedRulesCommonRuleSet"
    "known-bad-inputs" = "AWSManagedRulesKnownBadInputsRuleSet"
    "sql"              = "AWSManagedRulesSQLiRuleSet"
    "ip-reputation"    = "AWSManagedRulesAmazonIpReputationList"
    "anonymous-ip"     = "AWSManagedRulesAnonymousIpList"
  }
}

resource "aws_wafv2_web_acl" "this" {
  name        = "${var.prefix}-shield"
  description = "What stands before every host of ${var.prefix}."
  scope       = "REGIONAL"

  default_action {
    allow {}
  }

  dynamic "rule" {
    for_each = { for i, limit in var.shield.limits : i => limit }

    content {
      name     = "limit-${rule.value.name}"
      priority = 10 + rule.key

      # 429 tells a client that waiting helps; 403 would not.
      action {
        block {
          custom_response {
            response_code = 429
          }
        }
      }

      statement {
        rate_based_statement {
          limit                 = rule.value.rate
          evaluation_window_sec = var.shield.window
          aggregate_key_type    = "IP"

          scope_down_statement {
            byte_match_statement {
              positional_constraint = "STARTS_WITH"
              search_string         = rule.value.path

              field_to_match {
                uri_path {}
              }

              # /%6Cogin and /./login are /login.
              text_transformation {
                priority = 0
                type     = "URL_DECODE"
              }

              text_transformation {
                priority = 1
                type     = "NORMALIZE_PATH"
              }
            }
          }
        }
      }

      visibility_config {
        cloudwatch_metrics_enabled = true
        metric_name                = "limit-${rule.value.name}"
        sampled_requests_enabled   = true
      }
    }
  }

  dynamic "rule" {
    for_each = var.shield.rate > 0 ? [var.shield.rate] : []

    content {
      name     = "rate"
      priority = 1000

      action {
        block {
          custom_response {
            response_code = 429
          }
        }
      }

      statement {
        rate_based_statement {
          limit                 = rule.value
          evaluation_window_sec = var.shield.window
          aggregate_key_type    = "IP"
        }
      }

      visibility_config {
        cloudwatch_metrics_enabled = true
        metric_name                = "rate"
        sampled_requests_enabled   = true
      }
    }
  }

  dynamic "rule" {
    for_each = { for i, group in var.shield.rules : i => group }

    content {
      name     = rule.value
      priority = 2000 + rule.key

      # The group's own actions hold.
      override_action {
        none {}
      }

      statement {
        managed_rule_group_statement {
          vendor_name = "AWS"
          name        = local.managed[rule.value]
        }
      }

      visibility_config {
        cloudwatch_metrics_enabled = true
        metric_name                = rule.value
        sampled_requests_enabled   = true
      }
    }
  }

  visibility_config {
    cloudwatch_metrics_enabled = true
    metric_name                = "${var.prefix}-shield"
    sampled_requests_enabled   = true
  }
}

resource "aws_wafv2_web_acl_association" "this" {
  resource_arn = aws_lb.this.arn
  web_acl_arn  = aws_wafv2_web_acl.this.arn
}

# WAF writes only to groups whose names begin like this.
resource "aws_cloudwatch_log_group" "shield" {
  name              = "aws-waf-logs-${var.prefix}"
  retention_in_days = var.log_days
  kms_key_id        = var.key_arn
}

resource "aws_wafv2_web_acl_logging_configuration" "this" {
  resource_arn            = aws_wafv2_web_acl.this.arn
  log_destination_configs = [aws_cloudwatch_log_group.shield.arn]

  # Who may read the log may not act as a guest.
  redacted_fields {
    single_header {
      name = "authorization"
    }
  }

  redacted_fields {
    single_header {
      name = "cookie"
    }
  }

  # What was let through is in the access log already.
  logging_filter {
    default_behavior = "DROP"

    filter {
      behavior    = "KEEP"
      requirement = "MEETS_ANY"

      condition {
        action_condition {
          action = "BLOCK"
        }
      }

      condition {
        action_condition {
          action = "COUNT"
        }
      }
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "blocked" {
  alarm_name        = "${var.prefix}-shield-blocked"
  alarm_description = "The firewall refuses many requests: an attack, or a rule that is too strict."

  namespace           = "AWS/WAFV2"
  metric_name         = "BlockedRequests"
  dimensions          = { WebACL = aws_wafv2_web_acl.this.name, Region = var.region, Rule = "ALL" }
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  threshold           = 1000
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"

  alarm_actions = [var.topic_arn]
}
