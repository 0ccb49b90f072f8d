locals {
  major = split(".", var.engine_version)[0]

  # Postgres reads these at its start. They are set before the first one; a later
  # change waits for the next.
  static_parameters = {
    # Sets wal_level to logical: what a migration into and out of the database needs.
    "rds.logical_replication" = "1"

    # Each subscription takes one of each, and one more for every table that is
    # being copied.
    "max_replication_slots"           = "20"
    "max_wal_senders"                 = "25"
    "max_logical_replication_workers" = "12"
    "max_worker_processes"            = "24"
  }

  dynamic_parameters = {
    "rds.force_ssl" = "1"

    # Neither stores nor takes MD5.
    "password_encryption"               = "scram-sha-256"
    "rds.accepted_password_auth_method" = "scram"

    "max_sync_workers_per_subscription" = "4"

    # A slot that nobody reads would fill the disk in the end. A database that
    # stands is worse than a migration that begins again, so a slot is given up
    # once it holds back two fifths of the first storage, in MB; an alarm comes
    # at a tenth.
    "max_slot_wal_keep_size" = tostring(floor(var.storage * 1024 * 0.4))

    # A half-dead line across the VPN is noticed, and taken up again.
    "wal_sender_timeout" = "30000"

    # Statements are not logged: they hold customers' data, and those that set a
    # password hold that. Slow ones are in Performance Insights without values.
    "log_statement"      = "none"
    "log_connections"    = "1"
    "log_disconnections" = "1"
    "log_lock_waits"     = "1"
  }
}

resource "aws_db_parameter_group" "this" {
  name        = "${var.identifier}-postgres${local.major}"
  family      = "postgres${local.major}"
  description = "Postgres ${local.major} of ${var.identifier}, ready for logical replication"

  dynamic "parameter" {
    for_each = local.static_parameters

    content {
      name         = parameter.key
      value        = parameter.value
      apply_method = "pending-reboot"
    }
  }

  dynamic "parameter" {
    for_each = local.dynamic_parameters

    content {
      name         = parameter.key
      value        = parameter.value
      apply_method = "immediate"
    }
  }

  # Another major version is another family: the new group is there before the
  # old one goes.
  lifecycle {
    create_before_destroy = true
  }
}
