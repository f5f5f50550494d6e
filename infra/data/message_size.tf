# SQS takes messages of 1 MiB, but the AWS provider refuses more than 256 KiB as max_message_size in 5.x and early 6.x
# (provider issue #43692; a release with #43710 takes it). Until those are ruled out, the attribute is set beside the
# resource; when they are, write max_message_size = 1048576 into queues.tf and delete this file.
locals {
  max_message_size = 1048576
}

resource "terraform_data" "max_message_size" {
  for_each = { jobs = aws_sqs_queue.jobs.url, dead_letters = aws_sqs_queue.dead_letters.url }

  triggers_replace = [each.value, local.max_message_size]

  provisioner "local-exec" {
    command = "\"$PYTHON\" \"$SCRIPT\""

    environment = {
      PYTHON           = coalesce(var.python, "${path.module}/../../.venv/bin/python")
      SCRIPT           = "${path.module}/../../scripts/infra_message_size.py"
      QUEUE_URL        = each.value
      MAX_MESSAGE_SIZE = local.max_message_size
      AWS_REGION       = var.region
    }
  }
}
