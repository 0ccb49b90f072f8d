# Rendered by godwit: what is written here by hand is lost.

# tofu init -backend-config=backend.hcl -backend-config=bucket=BUCKET
#
# The bucket is made by the root "account", and its name has the account in it:
# godwit passes it, by hand it is the output state_bucket of that root.

key    = "terraform/account.tfstate"
region = "eu-central-1"

# The state is encrypted with the bucket's own key: encrypt = true would ask for
# one of S3's instead.
#
# A lock beside the state, by S3 itself. It takes OpenTofu 1.10 or Terraform
# 1.10; with an older one leave this line out, and see to it that one applies at
# a time.
use_lockfile = true
