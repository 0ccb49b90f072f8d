output "connection_id" {
  description = "The connection; the console has its configuration for the data centre's router."
  value       = aws_vpn_connection.this.id
}

output "tunnel_addresses" {
  description = "AWS's ends of the two tunnels: the data centre's firewall lets in nothing else."
  value       = [aws_vpn_connection.this.tunnel1_address, aws_vpn_connection.this.tunnel2_address]
}

output "preshared_key_arn" {
  description = "Secret with the keys of both tunnels, for whoever sets up the data centre's router."
  value       = aws_vpn_connection.this.preshared_key_arn
}
