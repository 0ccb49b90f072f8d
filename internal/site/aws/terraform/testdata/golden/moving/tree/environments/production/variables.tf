# Rendered by godwit: what is written here by hand is lost.

variable "developer_principals" {
  description = "ARNs of who may act as a developer here; nobody when empty."
  type        = list(string)
  default     = []
}

variable "admin_principals" {
  description = "ARNs of who may act as an administrator here; nobody when empty."
  type        = list(string)
  default     = []
}

variable "mfa_at_identity_provider" {
  description = "True where those principals are roles of an identity provider that asks for a second factor itself, of which AWS is not told."
  type        = bool
  default     = false
}
