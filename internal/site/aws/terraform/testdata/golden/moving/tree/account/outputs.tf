# Rendered by godwit: what is written here by hand is lost.

output "state_bucket" {
  description = "Bucket of Terraform's states and of the journal of rollouts."
  value       = module.account.state_bucket
}

output "audit_bucket" {
  description = "Bucket of the audit."
  value       = module.account.audit_bucket
}

output "trail_arn" {
  description = "Trail of all that is done in the account."
  value       = module.account.trail_arn
}

output "topic_arn" {
  description = "Topic of the account's alarms."
  value       = module.oncall.topic_arn
}
