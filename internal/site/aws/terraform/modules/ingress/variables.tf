variable "name" {
  description = "Name of the load balancer, at most 32 characters."
  type        = string
}

variable "prefix" {
  description = "What the names of everything else here begin with."
  type        = string
}

variable "logs_bucket" {
  description = "Beginning of the name of the bucket for access logs; account and region follow."
  type        = string

  validation {
    condition     = length(var.logs_bucket) <= 35
    error_message = "A bucket's name has at most 63 characters, and account and region take 28."
  }
}

variable "region" {
  description = "Region that it is in."
  type        = string
}

variable "domain" {
  description = "Public Route 53 zone, there already, that all hosts are in."
  type        = string
}

variable "hosts" {
  description = "Names under which services are reached."
  type        = set(string)

  validation {
    condition     = length(var.hosts) > 0
    error_message = "Without a host nothing is reached: leave this module out."
  }
}

variable "subnet_ids" {
  description = "Public subnets."
  type        = list(string)
}

variable "security_group_id" {
  description = "Security group of the load balancer: it lets in everybody on 80 and 443."
  type        = string
}

variable "shield" {
  description = "What stands before every host: requests that one address may send within a window of seconds, managed rule groups, tighter rates for paths."

  type = object({
    rate   = number
    window = number
    rules  = list(string)
    limits = list(object({
      name = string
      path = string
      rate = number
    }))
  })

  validation {
    condition     = contains([60, 120, 300, 600], var.shield.window)
    error_message = "WAF counts over 60, 120, 300 or 600 seconds."
  }
}

variable "gateways" {
  description = "Public addresses of gateways that send clients' requests here, in CIDR notation. They are believed when they say, in X-Forwarded-For, who a client is."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for network in var.gateways : can(cidrhost(network, 0)) && !endswith(network, "/0")])
    error_message = "A gateway is an address or a small network in CIDR notation, not everybody."
  }
}

variable "dns" {
  description = "Whether the names of the hosts lead here."
  type        = bool
  default     = true
}

variable "protected" {
  description = "Whether the load balancer is safe from being deleted by mistake, and its logs with it."
  type        = bool
}

variable "key_arn" {
  description = "Key that encrypts the firewall's log."
  type        = string
}

variable "topic_arn" {
  description = "Where alarms go."
  type        = string
}

variable "log_days" {
  description = "How long access logs and the firewall's log are kept."
  type        = number
  default     = 90
}
