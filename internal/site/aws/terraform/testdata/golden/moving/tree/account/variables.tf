# Rendered by godwit: what is written here by hand is lost.

variable "audit_mode" {
  description = "GOVERNANCE, or COMPLIANCE: then nobody, AWS included, can delete an entry of the audit before its time. Choose that once all is as it should be."
  type        = string
  default     = "GOVERNANCE"
}

variable "audit_days" {
  description = "How long each entry of the audit is kept, in days."
  type        = number
  default     = 400
}

variable "insights" {
  description = "Whether CloudTrail looks for unusual activity. It costs by the event."
  type        = bool
  default     = false
}
