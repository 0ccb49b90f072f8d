variable "landscape" {
  description = "Name of the landscape."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,27}$", var.landscape))
    error_message = "The name of a landscape is part of names of buckets, which AWS ends at 63 characters: it has at most 28 lower-case letters, digits and hyphens."
  }
}

variable "key_arn" {
  description = "Key of the account: encrypts Terraform's states and the log that alarms are made from."
  type        = string
}

variable "topic_arn" {
  description = "Topic that alarms of the account are sent to. EventBridge must be allowed to publish there."
  type        = string
}

variable "audit_mode" {
  description = "GOVERNANCE or COMPLIANCE. Under COMPLIANCE nobody, AWS included, can delete an entry or the bucket before its time: choose it once all is as it should be."
  type        = string
  default     = "GOVERNANCE"

  validation {
    condition     = contains(["GOVERNANCE", "COMPLIANCE"], var.audit_mode)
    error_message = "The mode of the audit bucket is GOVERNANCE or COMPLIANCE."
  }
}

variable "audit_days" {
  description = "How long each entry of the audit is kept, in days. It can be raised; what is there already keeps its time."
  type        = number
  default     = 400

  validation {
    condition     = var.audit_days >= 90 && floor(var.audit_days) == var.audit_days
    error_message = "Entries of the audit are kept for at least 90 days."
  }
}

variable "insights" {
  description = "Whether CloudTrail looks for unusual activity. It costs by the event."
  type        = bool
  default     = false
}
