# Packer from 1.7 on fetches its builders by name and version. Debian's 1.6.6 has
# them built in, and refuses this block: hence a file of its own.
packer {
  required_plugins {
    amazon = {
      version = ">= 1.2.8, < 2.0.0"
      source  = "github.com/hashicorp/amazon"
    }
  }
}
