# Rendered by godwit: what is written here by hand is lost.

provider "aws" {
  region = "eu-central-1"

  # No environment: what is in here belongs to all of them.
  default_tags {
    tags = {
      "godwit:landscape" = "moving"
    }
  }
}
