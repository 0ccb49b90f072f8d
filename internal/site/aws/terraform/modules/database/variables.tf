variable "name" {
  description = "Name of the database, as the landscape declares it."
  type        = string
}

variable "identifier" {
  description = "Identifier of the RDS instance."
  type        = string

  validation {
    condition     = can(regex("^[a-z]([a-z0-9]|-[a-z0-9]){0,62}$", var.identifier)) && length(var.identifier) <= 63
    error_message = "An identifier has at most 63 lower-case letters, digits and single hyphens, and begins with a letter."
  }
}

variable "secret_name" {
  description = "Name of the secret that services connect with."
  type        = string
}

variable "vpc_id" {
  description = "Network of the environment."
  type        = string
}

variable "subnet_ids" {
  description = "Subnets of the data tier, in at least two zones."
  type        = list(string)
}

variable "security_group_ids" {
  description = "Security groups of the database; their rules say who reaches it."
  type        = list(string)
}

variable "class" {
  description = "Instance class, db.t4g.medium for example."
  type        = string

  validation {
    condition     = startswith(var.class, "db.")
    error_message = "An instance class of RDS begins with \"db.\"."
  }
}

variable "storage" {
  description = "Storage in GiB to begin with. It grows by itself up to four times as much, and never shrinks."
  type        = number

  validation {
    condition     = var.storage >= 20 && var.storage <= 65536
    error_message = "Storage is between 20 and 65536 GiB."
  }
}

variable "multi_az" {
  description = "Whether a standby in another zone takes over when the first fails."
  type        = bool
}

variable "protected" {
  description = "Whether losing data is refused: no deletion, longer backups."
  type        = bool
}

variable "key_arn" {
  description = "Key that encrypts storage, backups, logs and secrets."
  type        = string
}

variable "topic_arn" {
  description = "Topic that alarms are sent to."
  type        = string
}

variable "boundary_arn" {
  description = "Permissions boundary of the roles of the environment."
  type        = string
  default     = null
}

variable "engine_version" {
  description = "Major version of Postgres. Raising it stops the database for minutes: see main.tf."
  type        = string
  default     = "17"

  validation {
    condition     = can(regex("^(1[6-9]|[2-9][0-9])$", var.engine_version))
    error_message = "Write a major version alone, \"17\": the minor one is chosen by RDS."
  }
}

variable "backup_window" {
  description = "When the daily snapshot is taken, UTC."
  type        = string
  default     = "01:30-02:30"
}

variable "maintenance_window" {
  description = "When RDS may patch, UTC. Never on a day with an evening's trade before it."
  type        = string
  default     = "tue:03:00-tue:04:00"
}

variable "connections" {
  description = "Open connections from which on somebody should look. Postgres allows about 110 for each GiB of memory."
  type        = number
  default     = 300
}
