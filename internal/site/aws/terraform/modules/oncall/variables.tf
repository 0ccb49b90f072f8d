variable "prefix" {
  description = "What the names of all that belongs together begin with: landscape and environment."
  type        = string
}

variable "emails" {
  description = "Who gets alarms. AWS asks each address by mail to confirm it, once."
  type        = list(string)
  default     = []
}

variable "key_arn" {
  description = "Key that encrypts the messages."
  type        = string
}

variable "events" {
  description = "Whether rules of EventBridge publish here too. Their statement cannot have a condition, so it is only there when it is needed."
  type        = bool
  default     = false
}
