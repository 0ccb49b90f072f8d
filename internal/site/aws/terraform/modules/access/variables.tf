variable "landscape" {
  description = "Name of the landscape."
  type        = string
}

variable "environment" {
  description = "Name of the environment."
  type        = string
}

variable "protected" {
  description = "Whether developers may only look."
  type        = bool
}

variable "developer_principals" {
  description = "ARNs of the roles, of an identity centre or another account, whose holders may become developers of this environment. Empty: there is no such role."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.developer_principals : can(regex("^arn:[a-z-]+:(iam|sts)::[0-9]{12}:(role|user|assumed-role)/[^*]+$", arn))])
    error_message = "Name each role or user whole: not an account, and no wildcard."
  }
}

variable "admin_principals" {
  description = "ARNs of the roles whose holders may become administrators of this environment. Empty: there is no such role."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.admin_principals : can(regex("^arn:[a-z-]+:(iam|sts)::[0-9]{12}:(role|user|assumed-role)/[^*]+$", arn))])
    error_message = "Name each role or user whole: not an account, and no wildcard."
  }
}

variable "mfa_at_identity_provider" {
  description = "True where the principals are roles of an identity provider that asks for the second factor itself: AWS is not told of it, and could not demand it."
  type        = bool
  default     = false
}

variable "key_arn" {
  description = "Key of the environment."
  type        = string
}
