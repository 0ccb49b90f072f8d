output "listener_arn" {
  description = "Where the service's rule is added."
  value       = aws_lb_listener.this.arn
}

output "arn_suffix" {
  description = "The load balancer in metrics."
  value       = aws_lb.this.arn_suffix
}
