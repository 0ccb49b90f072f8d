landscape "tiny" {}

environment "production" {
  network = "10.79.0.0/16"
}

service "tiny" {
  build {
    dir        = "."
    command    = ["sh", "-c", "go build -o \"$OUT/tiny\" ."]
    entrypoint = ["/tiny"]
  }
  port = 8080
  scale {
    min = 2
    max = 2
  }
}

ingress "tiny" {
  host    = "tiny.example"
  service = service.tiny
}
