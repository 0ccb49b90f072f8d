variable "prefix" {
  description = "What the names of all that belongs together begin with: landscape and environment."
  type        = string
}

variable "vpc_id" {
  description = "Network of the environment."
  type        = string
}

variable "gateway_address" {
  description = "Public address of the data centre's end."
  type        = string

  validation {
    condition     = can(cidrhost("${var.gateway_address}/32", 0))
    error_message = "The data centre's end is a public IPv4 address."
  }
}

variable "source_network" {
  description = "Network of the source's databases, in CIDR notation: the only one that is reached."
  type        = string

  validation {
    condition     = can(cidrhost(var.source_network, 0))
    error_message = "The network of the source is in CIDR notation, \"192.168.10.0/24\"."
  }
}

variable "route_table_ids" {
  description = "Route tables that learn the way to the source: those of the data tier and nothing else."
  type        = list(string)
}

variable "key_arn" {
  description = "Key that encrypts the log of the tunnels."
  type        = string
  default     = null
}

variable "log_days" {
  description = "How long the log of the tunnels is kept, in days."
  type        = number
  default     = 90
}
