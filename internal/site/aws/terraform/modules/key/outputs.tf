output "arn" {
  description = "Key that encrypts volumes, databases, secrets, logs and alarms."
  value       = aws_kms_key.this.arn
}
