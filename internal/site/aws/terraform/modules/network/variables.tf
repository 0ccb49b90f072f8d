variable "name" {
  description = "What the names of all that belongs to this network begin with."
  type        = string
}

variable "region" {
  description = "Region that the network is in."
  type        = string
}

variable "cidr" {
  description = "Network of the environment, between /16 and /22."
  type        = string
}

variable "zones" {
  description = "Number of availability zones that the network stretches over."
  type        = number

  validation {
    condition     = contains([2, 3], var.zones)
    error_message = "A network stretches over 2 or 3 availability zones."
  }
}

variable "nat" {
  description = "How private subnets reach addresses outside: none, single (through one zone) or zone (each through its own)."
  type        = string

  validation {
    condition     = contains(["none", "single", "zone"], var.nat)
    error_message = "NAT is none, single or zone."
  }
}

variable "endpoints" {
  description = "AWS services that are reached inside the network, by their short names."
  type        = set(string)
}

variable "endpoint_security_group_id" {
  description = "Security group of the interface endpoints."
  type        = string
}

variable "database_peers" {
  description = "Networks outside whose databases replicate with the ones in here; empty when no migration is under way."
  type        = list(string)
  default     = []
}

variable "permissions_boundary_arn" {
  description = "What the role that writes flow logs cannot exceed."
  type        = string
}

variable "key_arn" {
  description = "Key that encrypts the flow logs."
  type        = string
}

variable "flow_log_days" {
  description = "How long flow logs are kept."
  type        = number
  default     = 90
}
