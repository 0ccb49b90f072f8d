# Rendered by godwit: what is written here by hand is lost.

# Each root has a state of its own: who changes one environment cannot harm
# another. Where it is kept is in backend.hcl.
terraform {
  backend "s3" {}
}
