# Rendered by godwit: what is written here by hand is lost.

output "vpc_id" {
  description = "The network."
  value       = module.network.vpc_id
}

output "nat_addresses" {
  description = "Addresses under which instances are seen outside."
  value       = module.network.nat_addresses
}

output "topic_arn" {
  description = "Where alarms go."
  value       = module.oncall.topic_arn
}

output "key_arn" {
  description = "Key that encrypts everything here; images that are started here have to be readable with it."
  value       = module.key.arn
}

output "boundary_arn" {
  description = "What no role here can exceed."
  value       = module.access.boundary_arn
}

output "developer_role_arn" {
  description = "Role of developers."
  value       = module.access.developer_role_arn
}

output "admin_role_arn" {
  description = "Role of administrators."
  value       = module.access.admin_role_arn
}

output "hosts" {
  description = "Names under which services are reached."
  value = [
    "till.moving.example",
  ]
}

output "load_balancer" {
  description = "AWS's own name of the public load balancer."
  value       = module.ingress.dns_name
}

output "groups" {
  description = "Auto Scaling groups by service and colour."
  value = {
    till = module.service_till.groups
  }
}

output "databases" {
  description = "Databases: where they are, and the secrets that open them."
  value = {
    till = {
      address           = module.database_till.address
      secret_arn        = module.database_till.secret_arn
      master_secret_arn = module.database_till.master_secret_arn
    }
  }
}
