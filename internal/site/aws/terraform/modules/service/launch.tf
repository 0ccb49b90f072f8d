# What an instance is. Terraform says what belongs to the landscape: its type,
# its disk, its role, its walls. Each rollout makes a new version with the image
# and the configuration of its release, and starts groups with exactly that
# version by its number; so neither fights the other.

# A placeholder until the first rollout: no group starts an instance before.
data "aws_ssm_parameter" "placeholder" {
  name = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-${var.architecture}"
}

resource "aws_launch_template" "this" {
  name          = var.names.launch_template
  instance_type = var.instance_type
  image_id      = data.aws_ssm_parameter.placeholder.insecure_value

  vpc_security_group_ids               = [var.security_group_id]
  instance_initiated_shutdown_behavior = "terminate"

  iam_instance_profile {
    arn = aws_iam_instance_profile.this.arn
  }

  # No key and no way in: what is wrong with an instance is in its log, and an
  # instance that is wrong is replaced.

  # Only requests with a token, and none that is forwarded for somebody else.
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
    instance_metadata_tags      = "disabled"
  }

  block_device_mappings {
    device_name = "/dev/xvda"

    ebs {
      volume_type           = "gp3"
      volume_size           = var.volume_size
      encrypted             = true
      kms_key_id            = var.key_arn
      delete_on_termination = true
    }
  }

  monitoring {
    enabled = true
  }

  # Instances get their tags from their group; what is made with them does not.
  dynamic "tag_specifications" {
    for_each = ["volume", "network-interface"]

    content {
      resource_type = tag_specifications.value
      tags          = merge(local.started_tags, { Name = var.names.launch_template })
    }
  }

  tags = local.tags

  # A rollout's. The default version stays the first: nothing is ever started
  # from $Default or $Latest.
  lifecycle {
    ignore_changes = [image_id, user_data, description, default_version]
  }
}
