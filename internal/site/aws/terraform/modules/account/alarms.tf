# What should hardly ever happen in an account that Terraform runs.

locals {
  alarms = {
    root = {
      description = "Somebody used the account's root user. It is for emergencies alone."
      pattern     = "{ $.userIdentity.type = \"Root\" && $.userIdentity.invokedBy NOT EXISTS && $.eventType != \"AwsServiceEvent\" }"
    }
    audit = {
      description = "Somebody touched what writes the audit."
      pattern     = "{ ($.eventSource = \"cloudtrail.amazonaws.com\" && ($.eventName = \"StopLogging\" || $.eventName = \"DeleteTrail\" || $.eventName = \"UpdateTrail\" || $.eventName = \"PutEventSelectors\")) || ($.eventSource = \"guardduty.amazonaws.com\" && ($.eventName = \"DeleteDetector\" || $.eventName = \"UpdateDetector\")) }"
    }
    users = {
      description = "Somebody made a user or credentials that last. There are to be none."
      pattern     = "{ $.eventSource = \"iam.amazonaws.com\" && ($.eventName = \"CreateUser\" || $.eventName = \"CreateAccessKey\" || $.eventName = \"CreateLoginProfile\") }"
    }
    keys = {
      description = "Somebody disabled a key, or set a date for its deletion. Without it, what it encrypts is lost."
      pattern     = "{ $.eventSource = \"kms.amazonaws.com\" && ($.eventName = \"DisableKey\" || $.eventName = \"ScheduleKeyDeletion\") }"
    }
  }
}

resource "aws_cloudwatch_log_metric_filter" "this" {
  for_each = local.alarms

  name           = "${var.landscape}-account-${each.key}"
  log_group_name = aws_cloudwatch_log_group.trail.name
  pattern        = each.value.pattern

  metric_transformation {
    name          = each.key
    namespace     = "${var.landscape}/account"
    value         = "1"
    default_value = "0"
  }
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms

  alarm_name        = "${var.landscape}-account-${each.key}"
  alarm_description = each.value.description

  namespace   = "${var.landscape}/account"
  metric_name = aws_cloudwatch_log_metric_filter.this[each.key].metric_transformation[0].name

  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 1
  treat_missing_data  = "notBreaching"

  alarm_actions = [var.topic_arn]
}
