locals {
  # The codes of worker/errors.py that a creator's errors are counted under; a test compares the lists.
  image_reasons = [
    "bad_url", "expired", "address_refused", "forbidden", "not_found", "rate_limited", "server_error", "timeout", "dns",
    "connect", "tls", "too_large", "too_many_pixels", "too_small", "not_an_image", "unsupported_format",
    "unsupported_encoding", "truncated",
    "duplicate", "decoder_crashed", "decode_timeout", "decode_memory", "out_of_memory",
    "worker_crashed", "work_lost", "record_too_large", "internal_error",
  ]

  failures_by_reason = join(", ", [for reason in local.image_reasons : "sum(errors.${reason}) as ${reason}"])

  queries = {
    failures-by-reason = <<-EOT
      filter event = "creator.finished"
      | stats ${local.failures_by_reason}
    EOT

    failures-by-batch = <<-EOT
      filter event = "creator.finished"
      | stats count(*) as creators, sum(images) as images_used, sum(strcontains(status, "failed")) as without_collage by batch_id
      | sort without_collage desc
      | limit 100
    EOT

    slowest-creators = <<-EOT
      filter event = "creator.finished"
      | fields @timestamp, creator, batch_id, seconds, images, mode
      | sort seconds desc
      | limit 50
    EOT

    careful-modes = <<-EOT
      filter event in ["memory.stayed_critical", "creator.memory_ran_out"] or (event = "creator.finished" and mode != "normal")
      | stats count(*) as times by event, mode, bin(5m)
    EOT

    batches = <<-EOT
      filter event in ["batch.started", "batch.planned", "batch.completed", "batch.failed"]
      | fields @timestamp, event, batch_id, creators, seconds, reason, error
      | sort @timestamp desc
      | limit 200
    EOT

    dead-letters = <<-EOT
      filter event in ["message.failed", "batch.failed"]
      | fields @timestamp, reason, error, batch_id, message_id
      | sort @timestamp desc
      | limit 200
    EOT

    messages-given-back = <<-EOT
      filter event in ["message.released", "message.handed_back", "message.lost", "message.fate_failed"]
      | stats count(*) as times by event, reason, bin(5m)
    EOT

    fetches-retried = <<-EOT
      filter event = "image.fetch_retried"
      | stats count(*) as times by reason, bin(5m)
    EOT

    errors-of-the-worker = <<-EOT
      filter level in ["error", "critical"]
      | stats count(*) as times by event, reason
      | sort times desc
    EOT

    life-of-a-message = <<-EOT
      # Put the message's id, or a batch's, in place of the dots.
      filter message_id = "..." or batch_id = "..."
      | fields @timestamp, @logStream, event, creator, reason, error
      | sort @timestamp asc
      | limit 1000
    EOT
  }
}

resource "aws_cloudwatch_query_definition" "saved" {
  for_each = local.queries

  name            = "${local.name}/${each.key}"
  log_group_names = [aws_cloudwatch_log_group.worker.name]
  query_string    = each.value
}
