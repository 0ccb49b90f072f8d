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

  # Rates by the names of their rules. A list of one path, or of none: all.
  rates = merge(
    { for i, limit in var.shield.limits : "limit-${limit.name}" => { priority = 10 + i, rate = limit.rate, paths = [limit.path] } },
    { for rate in [var.shield.rate] : "rate" => { priority = 1000, rate = rate, paths = [] } if rate > 0 },
  )

  fronted = length(var.gateways) > 0
}

# Gateways that stand before the environment. One set may be empty: then it holds
# nobody, and the conditions below are the same.
resource "aws_wafv2_ip_set" "gateways" {
  for_each = local.fronted ? { ipv4 = false, ipv6 = true } : {}

  name               = "${var.prefix}-gateways-${each.key}"
  description        = "Gateways that say who their clients are."
  scope              = "REGIONAL"
  ip_address_version = upper(each.key)
  addresses          = [for network in var.gateways : network if strcontains(network, ":") == each.value]

  # WAF deletes no set that is still named: the firewall is changed before.
  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_wafv2_web_acl" "this" {
  name        = "${var.prefix}-shield"
  description = "What stands before every host of ${var.prefix}."
  scope       = "REGIONAL"

  default_action {
    allow {}
  }

  # By the address that a request comes from; those of gateways are left out.
  dynamic "rule" {
    for_each = local.rates

    content {
      name     = rule.key
      priority = rule.value.priority

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

          dynamic "scope_down_statement" {
            for_each = local.fronted || length(rule.value.paths) > 0 ? [rule.value.paths] : []

            content {
              # WAF takes no "and" of one statement.
              dynamic "byte_match_statement" {
                for_each = local.fronted ? [] : scope_down_statement.value

                content {
                  positional_constraint = "STARTS_WITH"
                  search_string         = byte_match_statement.value

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

              dynamic "and_statement" {
                for_each = local.fronted ? [scope_down_statement.value] : []

                content {
                  dynamic "statement" {
                    for_each = aws_wafv2_ip_set.gateways

                    content {
                      not_statement {
                        statement {
                          ip_set_reference_statement {
                            arn = statement.value.arn
                          }
                        }
                      }
                    }
                  }

                  dynamic "statement" {
                    for_each = and_statement.value

                    content {
                      byte_match_statement {
                        positional_constraint = "STARTS_WITH"
                        search_string         = statement.value

                        field_to_match {
                          uri_path {}
                        }

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
              }
            }
          }
        }
      }

      visibility_config {
        cloudwatch_metrics_enabled = true
        metric_name                = rule.key
        sampled_requests_enabled   = true
      }
    }
  }

  # The same rates for each client of a gateway, by the address that it says. It
  # writes that header anew, so no client can say he is another. From everybody
  # else the header is worth nothing, and is not looked at.
  dynamic "rule" {
    for_each = { for name, rate in local.rates : name => rate if local.fronted }

    content {
      name     = "gateways-${rule.key}"
      priority = rule.value.priority + 500

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
          aggregate_key_type    = "FORWARDED_IP"

          forwarded_ip_config {
            header_name       = "X-Forwarded-For"
            fallback_behavior = "NO_MATCH"
          }

          scope_down_statement {
            dynamic "or_statement" {
              for_each = length(rule.value.paths) == 0 ? [aws_wafv2_ip_set.gateways] : []

              content {
                dynamic "statement" {
                  for_each = or_statement.value

                  content {
                    ip_set_reference_statement {
                      arn = statement.value.arn
                    }
                  }
                }
              }
            }

            dynamic "and_statement" {
              for_each = rule.value.paths

              content {
                statement {
                  or_statement {
                    dynamic "statement" {
                      for_each = aws_wafv2_ip_set.gateways

                      content {
                        ip_set_reference_statement {
                          arn = statement.value.arn
                        }
                      }
                    }
                  }
                }

                statement {
                  byte_match_statement {
                    positional_constraint = "STARTS_WITH"
                    search_string         = and_statement.value

                    field_to_match {
                      uri_path {}
                    }

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
          }
        }
      }

      visibility_config {
        cloudwatch_metrics_enabled = true
        metric_name                = "gateways-${rule.key}"
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
