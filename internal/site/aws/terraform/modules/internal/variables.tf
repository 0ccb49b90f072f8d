variable "name" {
  description = "Name of the load balancer, at most 32 characters."
  type        = string
}

variable "service" {
  description = "Service behind it, for descriptions."
  type        = string
}

variable "host" {
  description = "Private name of the service."
  type        = string
}

variable "zone_id" {
  description = "Private hosted zone that the name is in."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets."
  type        = list(string)
}

variable "security_group_id" {
  description = "Security group of this load balancer: it lets in those services that need this one, and nobody else."
  type        = string
}

variable "port" {
  description = "Port that the service listens on; the load balancer listens on the same."
  type        = number
}

variable "topic_arn" {
  description = "Where alarms go."
  type        = string
}
