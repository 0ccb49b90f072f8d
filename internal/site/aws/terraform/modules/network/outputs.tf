output "vpc_id" {
  description = "The network."
  value       = aws_vpc.this.id
}

output "zones" {
  description = "Availability zones that it stretches over."
  value       = values(local.zones)
}

output "public_subnet_ids" {
  description = "Subnets of the public load balancer."
  value       = [for subnet in aws_subnet.public : subnet.id]
}

output "private_subnet_ids" {
  description = "Subnets of instances and internal load balancers."
  value       = [for subnet in aws_subnet.private : subnet.id]
}

output "data_subnet_ids" {
  description = "Subnets of databases."
  value       = [for subnet in aws_subnet.data : subnet.id]
}

output "data_route_table_ids" {
  description = "Route tables of the data subnets, for the way to a migration's source."
  value       = [aws_route_table.data.id]
}

output "s3_prefix_list_id" {
  description = "Addresses of S3, for security group rules."
  value       = aws_vpc_endpoint.s3.prefix_list_id
}

output "nat_addresses" {
  description = "Addresses under which instances are seen outside; none without NAT."
  value       = [for address in aws_eip.nat : address.public_ip]
}
