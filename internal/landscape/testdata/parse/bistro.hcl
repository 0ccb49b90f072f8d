landscape "bistro" {}

environment "production" {
  network   = "10.30.0.0/16"
  protected = true
}

service "till" {
  image  = "./images/till"          # OCI layout directory or archive; or build { ... }
  port   = 8080
  env    = { DATABASE_URL = database.till.url, MENU_URL = service.menu.url }
  needs  = [database.till, service.menu]      # these edges are opened; nothing else is
  health { path = "/healthz" }
  scale {
    min      = 2
    max      = 10
    requests = 150
    peak "weekend" {
      days     = ["fri", "sat"]
      from     = "17:30"
      until    = "01:00"
      timezone = "Europe/Berlin"
      min      = 6
    }
  }
}

service "menu" {
  build {
    dir        = "."
    command    = ["sh", "-c", "go build -o $OUT/menu ./menu"]
    entrypoint = ["/menu"]
  }
  port  = 8081
  needs = [database.menu]
  env = {
    DATABASE_URL = "${database.menu.url}?application_name=menu"
    "LISTEN"     = ":8081"
    WORKERS      = 4
    PRICE        = "$${eur}"
    API_TOKEN    = env.MENU_TOKEN
  }
}

database "till" { engine = "postgres" }
database "menu" { engine = "postgres" }

ingress "till" {
  host    = "till.bistro.example"
  service = service.till
}

source "datacenter" {
  service "till" { url = "http://127.0.0.1:9001" }
  service "menu" { url = "http://${env.DATACENTER}:9002" }
  database "till" { url = env.DATACENTER_DATABASE_URL }
}

migration "datacenter" {
  from      = source.datacenter
  to        = environment.production
  max_pause = "2s"
}

probe "tills" {
  ingress = ingress.till

  request "order" {
    method  = "POST"
    path    = "/orders"
    weight  = 1
    headers = { "Content-Type" = "application/json", Idempotency-Key = "{{key}}" }
    body    = <<-EOT
      {"key": "{{key}}", "table": {{int 1 40}}}
      EOT
    ledger  = "orders"
  }
  request "menu" {
    path   = "/menu"
    weight = 2
  }
  ledger "orders" {
    database = database.till
    query    = "SELECT key, count(*) FROM orders GROUP BY key"
  }
  invariant "receipt_gaps" {
    database = database.till
    query    = "SELECT 0"
  }
}

pipeline "till" {
  services = [service.till, service.menu]

  stage "test" { run = ["go", "test", "./..."] }
  stage "build" { build = true }
  stage "bake" { bake = true }
  stage "deploy-test" { deploy = environment.production }
  stage "smoke" {
    probe       = probe.tills
    environment = environment.production
    duration    = "5s"
  }
  stage "approve" {
    approve = "Release to production?"
    timeout = "12h"
  }
  stage "deploy-production" { deploy = environment.production }
}

shield {
  rate   = 3000
  window = "2m"
  rules  = ["common", "ip-reputation"]
  limit "orders" {
    path = "/orders"
    rate = 600
  }
}

aws {
  region = "eu-central-1"
  domain = "bistro.example"
  oncall = ["oncall@bistro.example"]
  environment "production" {
    instance = "m7i.large"
    database = "db.m7g.large"
    storage  = 200
    nat      = "zone"
    dns      = false
    gateways = ["203.0.113.7", "2001:db8::/64"]
    vpn {
      gateway = "203.0.113.10"
      network = "192.168.10.0/24"
    }
  }
  nat = "single"
  service "till" { egress = ["203.0.113.0/24"] }
}
