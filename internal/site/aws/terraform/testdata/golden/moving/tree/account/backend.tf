# Rendered by godwit: what is written here by hand is lost.

# The bucket of the states is made in here, and so is kept in itself. The first
# apply has no bucket yet: it runs with a state on this machine, which is then
# moved. By hand: put a file backend_override.tf with
#
#   terraform {
#     backend "local" {}
#   }
#
# beside this one, init and apply, remove it, and init again with -migrate-state
# and what is in backend.hcl.
terraform {
  backend "s3" {
  }
}
