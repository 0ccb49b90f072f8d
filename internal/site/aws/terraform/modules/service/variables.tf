variable "landscape" {
  description = "The landscape, for tags and names."
  type        = string
}

variable "environment" {
  description = "The environment, for tags and names."
  type        = string
}

variable "service" {
  description = "The service."
  type        = string
}

variable "region" {
  description = "Region that it runs in."
  type        = string
}

variable "names" {
  description = "Names that images and rollouts find things by, or that AWS wants short."

  type = object({
    launch_template = string
    role            = string
    log_group       = string
    drain_hook      = string
    launch_hook     = string
    groups = object({
      blue  = string
      green = string
    })
  })
}

variable "vpc_id" {
  description = "The network."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets, one in each zone."
  type        = list(string)
}

variable "security_group_id" {
  description = "Security group of the instances; its rules are the edges of the landscape."
  type        = string
}

variable "instance_type" {
  description = "EC2 instance type."
  type        = string
}

variable "architecture" {
  description = "Processor architecture of the instance type: x86_64 or arm64."
  type        = string
}

variable "volume_size" {
  description = "GiB of the root volume; as large as the image makes it when null. Instances keep nothing."
  type        = number
  default     = null
}

variable "port" {
  description = "Port that every instance listens on."
  type        = number
}

variable "health" {
  description = "When an instance is ready: path answers 2xx within timeout, both in seconds."

  type = object({
    path     = string
    interval = number
    timeout  = number
  })
}

variable "scale" {
  description = "Bounds of the number of instances, and what moves it between them: wanted requests per second and instance (0: only the processor). Warmup is seconds from launch to full capacity. Rollouts set the bounds; see groups.tf."

  type = object({
    min      = number
    max      = number
    requests = number
    warmup   = number
  })
}

variable "cpu_target" {
  description = "Percent of the processor that instances are kept at."
  type        = number
  default     = 60
}

variable "peaks" {
  description = "How many instances run at least, from which moments on: cron expressions by the clock of a time zone."

  type = map(object({
    recurrence = string
    timezone   = string
    min        = number
  }))
  default = {}
}

variable "faces" {
  description = "Load balancers that it stands behind, public and internal: listener, load balancer in metrics, names of its target groups there, and for the public one the hosts by which requests are told apart."

  type = map(object({
    listener_arn  = string
    load_balancer = string
    hosts         = set(string)
    target_groups = object({
      blue  = string
      green = string
    })
  }))
}

variable "drain_seconds" {
  description = "How long requests in flight may take to end when an instance is taken out, in seconds."
  type        = number
  default     = 60
}

variable "database_secret_arns" {
  description = "Secrets of the databases that it needs."
  type        = list(string)
  default     = []
}

variable "secret_name" {
  description = "Name of its own secret; none when its configuration has nothing secret."
  type        = string
  default     = null
}

variable "permissions_boundary_arn" {
  description = "What its role cannot exceed, whatever its policies say."
  type        = string
}

variable "protected" {
  description = "Whether secrets can be brought back after they were deleted."
  type        = bool
}

variable "key_arn" {
  description = "Key that encrypts volumes, logs and secrets."
  type        = string
}

variable "topic_arn" {
  description = "Where alarms go."
  type        = string
}

variable "log_days" {
  description = "How long logs are kept."
  type        = number
  default     = 30
}

variable "slow_seconds" {
  description = "Above this p99 of response times somebody is told."
  type        = number
  default     = 1
}
