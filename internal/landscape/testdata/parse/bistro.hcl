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
    min = 2
    max = 10
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
