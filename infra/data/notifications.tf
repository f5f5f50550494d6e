# Any object under csv-files/ starts a batch, whatever its suffix and case: what is in it decides (filters on a suffix
# know upper and lower case, and would swallow COVERS.CSV without a word). The worker moves a finished manifest to
# archived/, which no filter here matches: nothing starts itself again.
resource "aws_s3_bucket_notification" "manifests" {
  bucket      = aws_s3_bucket.input.id
  eventbridge = local.by_eventbridge

  dynamic "queue" {
    for_each = local.by_eventbridge ? [] : ["manifest"]

    content {
      id            = queue.value
      queue_arn     = aws_sqs_queue.jobs.arn
      events        = ["s3:ObjectCreated:*"]
      filter_prefix = local.manifest_prefix
    }
  }

  # S3 tries the queue at once, and refuses one that does not admit it.
  depends_on = [aws_sqs_queue_policy.jobs]
}

locals {
  by_eventbridge  = var.input_events == "eventbridge"
  manifest_prefix = "csv-files/"
}

# The worker reads EventBridge's events as it reads S3's own.
resource "aws_cloudwatch_event_rule" "manifests" {
  count = local.by_eventbridge ? 1 : 0

  name        = "collage-worker-${local.suffix}-manifests"
  description = "A manifest was dropped in the input bucket"

  event_pattern = jsonencode({
    source      = ["aws.s3"]
    detail-type = ["Object Created"]
    detail = {
      bucket = { name = [aws_s3_bucket.input.bucket] }
      object = { key = [{ prefix = local.manifest_prefix }] }
    }
  })
}

resource "aws_cloudwatch_event_target" "manifests" {
  count = local.by_eventbridge ? 1 : 0

  rule = aws_cloudwatch_event_rule.manifests[0].name
  arn  = aws_sqs_queue.jobs.arn
}
