# Rendered by godwit: what is written here by hand is lost.

# One public load balancer, behind a firewall for requests.
module "ingress" {
  source = "../../modules/ingress"

  name        = "kiosk-live-public"
  prefix      = local.prefix
  logs_bucket = "kiosk-live-access-logs"
  region      = local.region

  domain = "kiosk.example"
  hosts = [
    "kiosk.example",
  ]

  subnet_ids        = module.network.public_subnet_ids
  security_group_id = aws_security_group.public.id

  shield = {
    rate   = 2000
    window = 300
    rules  = ["common", "known-bad-inputs", "ip-reputation"]
    limits = []
  }

  protected = local.protected
  key_arn   = module.key.arn
  topic_arn = module.oncall.topic_arn
}
