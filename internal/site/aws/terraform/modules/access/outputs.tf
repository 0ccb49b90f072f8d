output "boundary_arn" {
  description = "What no role of the environment can exceed; every one of them has it."
  value       = aws_iam_policy.boundary.arn
}

output "developer_role_arn" {
  description = "Role of developers; null when nobody may take it."
  value       = one(aws_iam_role.developer[*].arn)
}

output "admin_role_arn" {
  description = "Role of administrators; null when nobody may take it."
  value       = one(aws_iam_role.admin[*].arn)
}
