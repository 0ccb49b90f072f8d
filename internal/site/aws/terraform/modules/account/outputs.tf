output "state_bucket" {
  description = "Bucket of Terraform's states and of the journal of rollouts."
  value       = aws_s3_bucket.state.id
}

output "audit_bucket" {
  description = "Bucket of the audit."
  value       = aws_s3_bucket.audit.id
}

output "trail_arn" {
  description = "Trail of all that is done in the account."
  value       = aws_cloudtrail.this.arn
}

output "detector_id" {
  description = "Detector of GuardDuty."
  value       = aws_guardduty_detector.this.id
}
