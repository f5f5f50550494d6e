# The worker moves a finished manifest to archived/, which no filter here matches: nothing starts itself again.
resource "aws_s3_bucket_notification" "manifests" {
  bucket = aws_s3_bucket.input.id

  dynamic "queue" {
    for_each = { manifest-csv = ".csv", manifest-csv-gz = ".csv.gz" }

    content {
      id            = queue.key
      queue_arn     = aws_sqs_queue.jobs.arn
      events        = ["s3:ObjectCreated:*"]
      filter_prefix = "csv-files/"
      filter_suffix = queue.value
    }
  }

  # S3 tries the queue at once, and refuses one that does not admit it.
  depends_on = [aws_sqs_queue_policy.jobs]
}
