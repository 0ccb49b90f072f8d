# A restaurant's tills: the reference landscape of godwit.

landscape "bistro" {}

environment "test" {
  network = "10.10.0.0/16"
}

environment "stage" {
  network = "10.20.0.0/16"
}

environment "production" {
  network   = "10.30.0.0/16"
  protected = true
}

# Orders, payments, receipts.
service "till" {
  build {
    dir        = "."
    command    = ["sh", "-c", "CGO_ENABLED=0 go build -buildvcs=false -trimpath -ldflags '-s -w -X main.version=1' -o \"$OUT/till\" ./till"]
    entrypoint = ["/till"]
  }
  port  = 8080
  env   = { DATABASE_URL = database.till.url, MENU_URL = service.menu.url }
  needs = [database.till, service.menu]
  health { path = "/healthz" }
  scale {
    min      = 2
    max      = 10
    requests = 150 # a second and instance

    # Cafés, bars and clubs: everybody orders at once.
    peak "weekend" {
      days     = ["fri", "sat"]
      from     = "17:30"
      until    = "02:00"
      timezone = "Europe/Berlin"
      min      = 6
    }
  }
}

# What there is to eat, and what it costs.
service "menu" {
  build {
    dir        = "."
    command    = ["sh", "-c", "CGO_ENABLED=0 go build -buildvcs=false -trimpath -ldflags '-s -w -X main.version=1' -o \"$OUT/menu\" ./menu"]
    entrypoint = ["/menu"]
  }
  port  = 8080
  env   = { DATABASE_URL = database.menu.url }
  needs = [database.menu]
  health { path = "/healthz" }
  scale {
    min = 2
    max = 4
  }
}

# Turns orders into tickets for the cooks.
service "kitchen" {
  build {
    dir        = "."
    command    = ["sh", "-c", "CGO_ENABLED=0 go build -buildvcs=false -trimpath -ldflags '-s -w -X main.version=1' -o \"$OUT/kitchen\" ./kitchen"]
    entrypoint = ["/kitchen"]
  }
  port  = 8080
  env   = { DATABASE_URL = database.till.url }
  needs = [database.till]
  health { path = "/healthz" }
  scale {
    min = 2
    max = 4
  }
}

database "till" { engine = "postgres" }
database "menu" { engine = "postgres" }

ingress "till" {
  host    = "till.bistro.example"
  service = service.till
}

ingress "menu" {
  host    = "menu.bistro.example"
  service = service.menu
}

ingress "kitchen" {
  host    = "kitchen.bistro.example"
  service = service.kitchen
}

# Where it runs today: plain processes on one host, one Postgres.
source "datacenter" {
  service "till" { url = env.DATACENTER_TILL_URL }
  service "menu" { url = env.DATACENTER_MENU_URL }
  service "kitchen" { url = env.DATACENTER_KITCHEN_URL }
  database "till" { url = env.DATACENTER_DATABASE_URL }
  database "menu" { url = env.DATACENTER_MENU_DATABASE_URL }
}

# What stands before the ingresses.
shield {
  rate   = 3000 # requests of one address in five minutes: a restaurant has one address
  window = "5m"
  rules  = ["common", "known-bad-inputs", "ip-reputation"]
}

# Where it goes: nothing here matters to the local site.
aws {
  region   = "eu-central-1"
  domain   = "bistro.example" # the Route 53 zone; it is there already
  oncall   = ["oncall@bistro.example"]
  instance = "t3.small"
  database = "db.t4g.medium"

  environment "production" {
    instance = "m7i.large"
    database = "db.m7g.large"
    storage  = 200

    # Until the migration is finished: clients come through the data centre's
    # gateway, from this one address, and the names lead there.
    gateways = ["203.0.113.7/32"]
    dns      = false
  }
}

# The way of a change to the tills: built once, and what was tried is what goes live.
pipeline "bistro" {
  services = [service.till, service.menu, service.kitchen]

  stage "test" { run = ["go", "vet", "./..."] }
  stage "build" { build = true }
  stage "bake" { bake = true }
  stage "deploy-test" { deploy = environment.test }
  stage "smoke" {
    probe       = probe.alive
    environment = environment.test
    duration    = "3s"
    rate        = 20
  }
  stage "deploy-stage" { deploy = environment.stage }
  stage "load" {
    probe       = probe.alive
    environment = environment.stage
    duration    = "5s"
    rate        = 100
  }
  stage "approve" {
    approve = "Release to production?"
    timeout = "24h"
  }
  stage "deploy-production" { deploy = environment.production }
}

migration "datacenter" {
  from      = source.datacenter
  to        = environment.production
  max_pause = "2s"
}

# An evening's tills: a third of what they send are orders and payments.
probe "tills" {
  ingress = ingress.till

  request "order" {
    method  = "POST"
    path    = "/orders"
    headers = { "Content-Type" = "application/json" }
    body    = <<-JSON
      {"register": {{rand 1 20}}, "table": {{rand 1 40}}, "items": [
        {"sku": "{{pick "onion-soup" "beef-tatar" "green-salad" "snails"}}", "qty": {{rand 1 2}}},
        {"sku": "{{pick "steak-frites" "coq-au-vin" "mussels" "ratatouille" "risotto"}}", "qty": {{rand 1 4}}},
        {"sku": "{{pick "espresso" "water" "cider" "red-wine" "white-wine"}}", "qty": {{rand 1 4}}}
      ]}
    JSON
    weight  = 18
    ledger  = "orders"
  }

  # What is open on the table, and a sale at the counter on the same receipt: so
  # there is something to pay even when the table is empty.
  request "payment" {
    method  = "POST"
    path    = "/payments"
    headers = { "Content-Type" = "application/json" }
    body    = <<-JSON
      {"register": {{rand 1 20}}, "table": {{rand 1 40}}, "amount_cents": {{rand 150 900}}}
    JSON
    weight  = 15
    ledger  = "receipts"
  }

  request "menu" {
    path   = "/menu"
    weight = 27
  }

  request "table" {
    path   = "/tables/{{rand 1 40}}"
    weight = 25
  }

  request "receipts" {
    path   = "/receipts/{{rand 1 20}}?limit=5"
    weight = 15
  }

  ledger "orders" {
    database = database.till
    query    = "SELECT key, count(*) FROM orders GROUP BY key"
  }

  ledger "receipts" {
    database = database.till
    query    = "SELECT key, count(*) FROM receipts GROUP BY key"
  }

  # A number that is missing between two receipts, or after the last.
  invariant "receipt_gaps" {
    database = database.till
    query    = <<-SQL
      SELECT (SELECT count(*) FROM (
                SELECT number - lag(number, 1, 0::bigint) OVER (PARTITION BY register ORDER BY number) AS step
                FROM receipts) AS steps
              WHERE step <> 1)
           + (SELECT count(*) FROM registers r
              WHERE coalesce(r.last, 0) <> (SELECT coalesce(max(number), 0) FROM receipts WHERE register = r.register))
    SQL
  }

  # A receipt whose hash is not that of its content, or not chained to the one before.
  invariant "chain_breaks" {
    database = database.till
    query    = <<-SQL
      SELECT count(*) FROM (
        SELECT hash, previous_hash,
               sha256(previous_hash || convert_to(register::text || '|' || number::text || '|' || key || '|'
                 || total_cents::text || '|' || lines::text || '|' || extract(epoch FROM issued_at)::text, 'UTF8')) AS content_hash,
               lag(hash, 1, decode(repeat('00', 32), 'hex')) OVER (PARTITION BY register ORDER BY number) AS hash_before
        FROM receipts) AS chain
      WHERE hash <> content_hash OR previous_hash <> hash_before
    SQL
  }

  # An order that the kitchen neither waits for nor has, or has twice.
  invariant "orders_astray" {
    database = database.till
    query    = <<-SQL
      SELECT count(*) FROM orders o
      LEFT JOIN outbox b ON b.order_id = o.id
      LEFT JOIN tickets t ON t.order_id = o.id
      WHERE (b.id IS NULL) = (t.id IS NULL)
    SQL
  }

  # An order that lost or doubled some of its items.
  invariant "orders_miscounted" {
    database = database.till
    query    = <<-SQL
      SELECT count(*) FROM orders o
      LEFT JOIN (SELECT order_id, sum(qty * price_cents) AS total FROM order_items GROUP BY order_id) i ON i.order_id = o.id
      WHERE i.total IS DISTINCT FROM o.total_cents
    SQL
  }
}

# Whether the tills answer at all, in environments whose databases are empty.
probe "alive" {
  ingress = ingress.till
  request "health" { path = "/healthz" }
}
