# Rendered by godwit: what is written here by hand is lost.

# One public load balancer, behind a firewall for requests.
module "ingress" {
  source = "../../modules/ingress"

  name        = "chain-test-public"
  prefix      = local.prefix
  logs_bucket = "chain-test-access-logs"
  region      = local.region

  domain = "chain.example"
  hosts = [
    "test.shop.chain.example",
    "test.www.chain.example",
    "test.orders.chain.example",
  ]

  subnet_ids        = module.network.public_subnet_ids
  security_group_id = aws_security_group.public.id

  shield = {
    rate   = 1000
    window = 60
    rules  = ["common", "known-bad-inputs", "sql", "ip-reputation", "anonymous-ip"]
    limits = [{
      name = "login"
      path = "/login"
      rate = 20
    }]
  }

  protected = local.protected
  key_arn   = module.key.arn
  topic_arn = module.oncall.topic_arn
}
