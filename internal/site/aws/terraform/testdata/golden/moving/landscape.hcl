# An environment that a data centre moves into: its gateway stands before, and
# the names still lead there.

landscape "moving" {}

environment "production" {
  network   = "10.1.0.0/22"
  protected = true
}

service "till" {
  image = "./till"
  port  = 8080
  needs = [database.till]
}

database "till" { engine = "postgres" }

ingress "till" {
  host    = "till.moving.example"
  service = service.till
}

shield {
  rate = 3000
  limit "orders" {
    path = "/orders"
    rate = 300
  }
}

source "datacenter" {
  service "till" { url = env.DATACENTER_TILL_URL }
  database "till" { url = env.DATACENTER_DATABASE_URL }
}

migration "datacenter" {
  from = source.datacenter
  to   = environment.production
}

aws {
  region = "eu-central-1"
  domain = "moving.example"

  environment "production" {
    gateways = ["203.0.113.7", "203.0.113.8/31", "2001:db8::7"]
    dns      = false
    vpn {
      gateway = "203.0.113.10"
      network = "192.168.10.0/24"
    }
  }
}
