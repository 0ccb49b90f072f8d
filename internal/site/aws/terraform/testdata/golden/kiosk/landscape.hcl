# The least that makes sense: one service, one environment, nothing else said.

landscape "kiosk" {}

environment "live" { network = "10.1.0.0/22" }

service "kiosk" {
  image = "./kiosk"
  port  = 8080
}

ingress "kiosk" {
  host    = "kiosk.example"
  service = service.kiosk
}

aws {
  region = "eu-central-1"
  domain = "kiosk.example"
}
