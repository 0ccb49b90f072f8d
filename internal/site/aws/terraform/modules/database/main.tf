# A Postgres that data can be moved into and out of while it runs.

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_region" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  region    = data.aws_region.current.region
  log_days  = var.protected ? 400 : 30
}

resource "aws_db_subnet_group" "this" {
  name        = var.identifier
  description = "Data tier of ${var.identifier}"
  subnet_ids  = var.subnet_ids
}

# Made here, for RDS would make them without key and without end.
resource "aws_cloudwatch_log_group" "this" {
  for_each = toset(["postgresql", "upgrade"])

  name              = "/aws/rds/instance/${var.identifier}/${each.key}"
  retention_in_days = local.log_days
  kms_key_id        = var.key_arn
}

# Its id is new each time the database is made anew, and with it the name of the
# last snapshot: a name that is there already would stop the deletion.
resource "terraform_data" "incarnation" {}

resource "aws_db_instance" "this" {
  identifier = var.identifier
  engine     = "postgres"

  # Minor versions come by themselves in the maintenance window. A major one is a
  # decision: raise it in the call of this module and set
  # allow_major_version_upgrade for that one apply.
  engine_version              = var.engine_version
  auto_minor_version_upgrade  = true
  allow_major_version_upgrade = false

  # Names of databases have no hyphens in RDS.
  db_name  = replace(var.name, "-", "_")
  username = "godwit"
  port     = 5432

  # RDS makes the administrator's password, keeps it in Secrets Manager and
  # changes it. Terraform never sees it.
  manage_master_user_password   = true
  master_user_secret_kms_key_id = var.key_arn

  # Services have their own roles and passwords. Tokens of IAM would work on AWS
  # alone, and are limited in new connections per second: too few when all
  # instances of an evening connect again.
  iam_database_authentication_enabled = false

  instance_class    = var.class
  storage_type      = "gp3"
  allocated_storage = var.storage
  storage_encrypted = true
  kms_key_id        = var.key_arn

  # RDS ends at 65536 GiB: where there is no room for four times as much, storage
  # does not grow by itself.
  max_allocated_storage = var.storage <= 16384 ? var.storage * 4 : 0

  multi_az               = var.multi_az
  db_subnet_group_name   = aws_db_subnet_group.this.name
  vpc_security_group_ids = var.security_group_ids
  publicly_accessible    = false
  ca_cert_identifier     = "rds-ca-rsa2048-g1"
  parameter_group_name   = aws_db_parameter_group.this.name

  # What needs a restart waits for the maintenance window: an apply never stops
  # a database that serves.
  apply_immediately  = false
  maintenance_window = var.maintenance_window

  backup_window            = var.backup_window
  backup_retention_period  = var.protected ? 35 : 7
  delete_automated_backups = !var.protected
  copy_tags_to_snapshot    = true

  # prevent_destroy takes no variable, so it is not here; RDS itself refuses the
  # deletion of a protected database until this is taken away, in an apply of its
  # own. Every other one leaves a snapshot behind.
  deletion_protection       = var.protected
  skip_final_snapshot       = false
  final_snapshot_identifier = "${var.identifier}-final-${substr(terraform_data.incarnation.id, 0, 8)}"

  performance_insights_enabled          = true
  performance_insights_kms_key_id       = var.key_arn
  performance_insights_retention_period = 7 # the longest that costs nothing
  monitoring_interval                   = 60
  monitoring_role_arn                   = aws_iam_role.monitoring.arn
  enabled_cloudwatch_logs_exports       = ["postgresql", "upgrade"]

  # Identifiers are cut when they are long; this is the landscape's own name.
  tags = { "godwit:database" = var.name }

  depends_on = [
    aws_cloudwatch_log_group.this,
    aws_iam_role_policy_attachment.monitoring,
  ]
}

resource "aws_iam_role" "monitoring" {
  # A prefix, for AWS allows 64 characters for a role's name.
  name_prefix          = "${substr(var.identifier, 0, 33)}-mon-"
  description          = "Writes what the operating system below ${var.identifier} does."
  permissions_boundary = var.boundary_arn

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "monitoring.rds.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = {
        StringEquals = { "aws:SourceAccount" = local.account }
        ArnLike      = { "aws:SourceArn" = "arn:${local.partition}:rds:${local.region}:${local.account}:db:${var.identifier}" }
      }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "monitoring" {
  role       = aws_iam_role.monitoring.name
  policy_arn = "arn:${local.partition}:iam::aws:policy/service-role/AmazonRDSEnhancedMonitoringRole"
}

# What services connect with: url, host, port, username, password and dbname.
# There is no version here. godwit makes the role in the database and fills the
# secret, so that no password is in Terraform's state.
resource "aws_secretsmanager_secret" "connection" {
  name        = var.secret_name
  description = "How services reach database ${var.name}"
  kms_key_id  = var.key_arn

  # Within this time a deleted secret can be had back, and its name is taken.
  # Elsewhere than in protected environments godwit simply fills a new one.
  recovery_window_in_days = var.protected ? 30 : 0
}
