resource "aws_sqs_queue" "dead_letters" {
  #checkov:skip=CKV2_AWS_73:encrypted by SQS itself (SSE-SQS); a key of our own would need rights for S3 and every redriver
  name                      = local.names.dead_letters
  message_retention_seconds = 1209600
  sqs_managed_sse_enabled   = true

  lifecycle {
    ignore_changes  = [max_message_size] # message_size.tf sets it
    prevent_destroy = true
  }
}

resource "aws_sqs_queue" "jobs" {
  #checkov:skip=CKV2_AWS_73:encrypted by SQS itself (SSE-SQS); with a key of our own, S3 would need a right to it to notify
  name                       = local.names.queue
  message_retention_seconds  = 1209600
  visibility_timeout_seconds = 900
  receive_wait_time_seconds  = 20
  sqs_managed_sse_enabled    = true

  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead_letters.arn
    maxReceiveCount     = 3
  })

  lifecycle {
    ignore_changes  = [max_message_size] # message_size.tf sets it
    prevent_destroy = true
  }
}

# No other queue may use this one for its dead letters.
resource "aws_sqs_queue_redrive_allow_policy" "dead_letters" {
  queue_url = aws_sqs_queue.dead_letters.id

  redrive_allow_policy = jsonencode({
    redrivePermission = "byQueue"
    sourceQueueArns   = [aws_sqs_queue.jobs.arn]
  })
}
