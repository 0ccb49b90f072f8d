# Rendered by godwit: what is written here by hand is lost.

# One public load balancer, behind a firewall for requests.
module "ingress" {
  source = "../../modules/ingress"

  name        = "moving-production-public"
  prefix      = local.prefix
  logs_bucket = "moving-production-access-logs"
  region      = local.region

  domain = "moving.example"
  hosts = [
    "till.moving.example",
  ]

  subnet_ids        = module.network.public_subnet_ids
  security_group_id = aws_security_group.public.id

  shield = {
    rate   = 3000
    window = 300
    rules  = ["common", "known-bad-inputs", "ip-reputation"]
    limits = [{
      name = "orders"
      path = "/orders"
      rate = 300
    }]
  }

  # All requests of a gateway come from its address: who the client is, it says in
  # X-Forwarded-For, and nobody else is believed.
  gateways = ["203.0.113.7/32", "203.0.113.8/31", "2001:db8::7/128"]

  # The names lead to the data centre's gateway until the migration is finished: a
  # record made here before would turn clients away from it. Certificates are made
  # and proved all the same. Without this line the records are added.
  dns = false

  protected = local.protected
  key_arn   = module.key.arn
  topic_arn = module.oncall.topic_arn
}
