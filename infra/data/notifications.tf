# Any object under csv-files/ starts a batch, whatever its suffix and case: what is in it decides (filters on a suffix
# know upper and lower case, and would swallow COVERS.CSV without a word). The worker moves a finished manifest to
# archived/, which no filter here matches: nothing starts itself again.
resource "aws_s3_bucket_notification" "manifests" {
  bucket = aws_s3_bucket.input.id

  queue {
    id            = "manifest"
    queue_arn     = aws_sqs_queue.jobs.arn
    events        = ["s3:ObjectCreated:*"]
    filter_prefix = "csv-files/"
  }

  # S3 tries the queue at once, and refuses one that does not admit it.
  depends_on = [aws_sqs_queue_policy.jobs]
}
