# Rendered by godwit: what is written here by hand is lost.

provider "aws" {
  region = local.region

  # On everything; that is how rollouts find it, and how it is billed.
  default_tags {
    tags = {
      "godwit:landscape"   = local.landscape
      "godwit:environment" = local.environment
    }
  }
}
