output "address" {
  description = "Host name of the database."
  value       = aws_db_instance.this.address
}

output "arn" {
  description = "The RDS instance."
  value       = aws_db_instance.this.arn
}

output "secret_arn" {
  description = "Secret that services connect with; empty until godwit fills it."
  value       = aws_secretsmanager_secret.connection.arn
}

output "master_secret_arn" {
  description = "Secret with the administrator's password, which RDS makes and changes by itself."
  value       = one(aws_db_instance.this.master_user_secret[*].secret_arn)
}
