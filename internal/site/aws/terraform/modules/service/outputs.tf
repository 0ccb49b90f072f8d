output "launch_template_id" {
  description = "Launch template whose versions are releases."
  value       = aws_launch_template.this.id
}

output "groups" {
  description = "Auto Scaling groups by colour."
  value       = { for colour, group in aws_autoscaling_group.this : colour => group.name }
}

output "target_group_arns" {
  description = "Target groups by face and colour."
  value       = { for target, group in aws_lb_target_group.this : target => group.arn }
}

output "role_arn" {
  description = "Role of its instances."
  value       = aws_iam_role.this.arn
}

output "secret_arn" {
  description = "Its own secret, to be filled by godwit; none when its configuration has nothing secret."
  value       = one(aws_secretsmanager_secret.this[*].arn)
}
