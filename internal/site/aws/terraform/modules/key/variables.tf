variable "prefix" {
  description = "What the names of all that belongs together begin with: landscape and environment."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]*[a-z0-9]$", var.prefix))
    error_message = "A prefix consists of lower-case letters, digits and hyphens, and begins with a letter."
  }
}
