# Everything that can be said: long names, services behind services, one behind
# nothing, secrets, peaks that overlap, a migration under way.

landscape "chain" {}

environment "test" { network = "10.1.0.0/20" }

environment "production" {
  network   = "10.2.0.0/16"
  protected = true
}

service "front" {
  image = "./front"
  port  = 8080
  env = {
    ORDERS_URL = service.order-management.url
    SESSION    = env.SESSION_KEY
  }
  needs = [service.order-management, database.sessions]
  scale {
    min      = 2
    max      = 12
    requests = 100
    peak "evening" {
      from     = "18:00"
      until    = "23:00"
      timezone = "Europe/Berlin"
      min      = 4
    }
    peak "weekend" {
      days     = ["fri", "sat"]
      from     = "20:00"
      until    = "01:00"
      timezone = "Europe/Berlin"
      min      = 8
    }
  }
}

service "order-management" {
  image = "./orders"
  port  = 9000
  env   = { DATABASE_URL = database.orders.url }
  needs = [database.orders, service.pricing]
  scale {
    min      = 3
    max      = 3
    requests = 50
  }
}

service "pricing" {
  image = "./pricing"
  port  = 9001
}

# Nobody asks it anything.
service "worker" {
  image = "./worker"
  port  = 9002
  env   = { TOKEN = "Bearer ${env.PAYMENT_TOKEN}", DATABASE_URL = database.orders.url }
  needs = [database.orders, service.order-management]
}

database "orders" { engine = "postgres" }
database "sessions" { engine = "postgres" }

ingress "front" {
  host    = "shop.chain.example"
  service = service.front
}

ingress "legacy" {
  host    = "www.chain.example"
  service = service.front
}

ingress "orders" {
  host    = "orders.chain.example"
  service = service.order-management
}

shield {
  rate   = 1000
  window = "1m"
  rules  = ["common", "known-bad-inputs", "sql", "ip-reputation", "anonymous-ip"]
  limit "login" {
    path = "/login"
    rate = 20
  }
}

aws {
  region = "eu-west-1"
  domain = "chain.example"
  zones  = 3
  oncall = ["first@chain.example", "second@chain.example"]
  nat    = "single"

  environment "test" { nat = "none" }

  environment "production" {
    instance = "m7g.large"
    database = "db.m7g.large"
    storage  = 500
    nat      = "zone"
    vpn {
      gateway = "203.0.113.7"
      network = "192.168.10.0/24"
    }
  }

  service "worker" {
    instance = "c7i.large"
    egress   = ["198.51.100.0/24", "203.0.113.128/25"]
  }
}
