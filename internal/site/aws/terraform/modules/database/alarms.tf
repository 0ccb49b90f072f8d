locals {
  gib = 1024 * 1024 * 1024

  # Each is looked at every minute, over so many minutes.
  alarms = {
    cpu = {
      description = "The processor is busy for a quarter of an hour: look for slow statements, or take a larger class. No data at all means that the database does not report."
      metric      = "CPUUtilization"
      above       = true
      threshold   = 85
      minutes     = 15
      missing     = "breaching"
    }
    storage = {
      description = "Less than a sixth of the first storage is free: it grows by itself, once in six hours at most."
      metric      = "FreeStorageSpace"
      above       = false
      threshold   = floor(var.storage * local.gib / 6)
      minutes     = 5
      missing     = "missing"
    }
    memory = {
      description = "Hardly any memory is left: connections will fail next."
      metric      = "FreeableMemory"
      above       = false
      threshold   = floor(local.gib / 5)
      minutes     = 10
      missing     = "missing"
    }
    connections = {
      description = "More open connections than usual: a service that does not give them back, or too many instances."
      metric      = "DatabaseConnections"
      above       = true
      threshold   = var.connections
      minutes     = 5
      missing     = "missing"
    }
    # There is no data when there is no slot.
    slot-lag = {
      description = "A replication slot is far behind: its reader is away. Beyond two fifths of the first storage it is given up, and a migration begins again."
      metric      = "OldestReplicationSlotLag"
      above       = true
      threshold   = floor(var.storage * local.gib / 10)
      minutes     = 5
      missing     = "notBreaching"
    }
    slot-disk = {
      description = "Replication slots take a tenth of the first storage: a transaction that is too long, or a reader that is away."
      metric      = "ReplicationSlotDiskUsage"
      above       = true
      threshold   = floor(var.storage * local.gib / 10)
      minutes     = 5
      missing     = "notBreaching"
    }
    wal = {
      description = "The write-ahead log takes a quarter of the first storage: something holds it back."
      metric      = "TransactionLogsDiskUsage"
      above       = true
      threshold   = floor(var.storage * local.gib / 4)
      minutes     = 5
      missing     = "missing"
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms

  alarm_name        = "${var.identifier}-${each.key}"
  alarm_description = each.value.description

  namespace   = "AWS/RDS"
  metric_name = each.value.metric
  dimensions  = { DBInstanceIdentifier = aws_db_instance.this.identifier }

  statistic           = "Average"
  period              = 60
  evaluation_periods  = each.value.minutes
  comparison_operator = each.value.above ? "GreaterThanThreshold" : "LessThanThreshold"
  threshold           = each.value.threshold
  treat_missing_data  = each.value.missing

  alarm_actions = [var.topic_arn]
  ok_actions    = [var.topic_arn]
}
