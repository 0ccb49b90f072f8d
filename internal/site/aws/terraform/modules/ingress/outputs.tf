output "listener_arn" {
  description = "Where services add their rules."
  value       = aws_lb_listener.https.arn
}

output "arn_suffix" {
  description = "The load balancer in metrics."
  value       = aws_lb.this.arn_suffix
}

output "dns_name" {
  description = "AWS's own name of the load balancer."
  value       = aws_lb.this.dns_name
}

output "certificate_arns" {
  description = "Certificates by host."
  value       = { for host, validation in aws_acm_certificate_validation.this : host => validation.certificate_arn }
}

output "shield_arn" {
  description = "The firewall for requests."
  value       = aws_wafv2_web_acl.this.arn
}

output "logs_bucket" {
  description = "Bucket with the access logs."
  value       = aws_s3_bucket.logs.id
}
