data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

locals {
  # What is made here carries the environment and the region, and buckets, whose names are shared by all of AWS, the
  # account as well: two environments in one account never share a thing, and nobody has to think of free names.
  suffix = "${var.environment}-${var.region}"

  names = {
    input        = coalesce(var.buckets.input, "tiktok-image-input-${local.suffix}-${local.account}")
    output       = coalesce(var.buckets.output, "tiktok-image-output-${local.suffix}-${local.account}")
    temp         = coalesce(var.buckets.temp, "tiktok-image-temp-${local.suffix}-${local.account}")
    queue        = coalesce(var.queue_name, "tiktok-image-processing-queue-${local.suffix}")
    dead_letters = coalesce(var.dlq_name, "tiktok-image-processing-dlq-${local.suffix}")
    table        = coalesce(var.table_name, "tiktok-creator-processing-state-${local.suffix}")
    repository   = coalesce(var.repository_name, "collage-worker-${local.suffix}")
  }

  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition

  commands_environment = merge({
    AWS_REGION            = var.region
    INPUT_BUCKET          = aws_s3_bucket.input.bucket
    OUTPUT_BUCKET         = aws_s3_bucket.output.bucket
    TEMP_BUCKET           = aws_s3_bucket.temp.bucket
    EXPECTED_BUCKET_OWNER = local.account
    SQS_QUEUE_URL         = aws_sqs_queue.jobs.url
    SQS_DLQ_URL           = aws_sqs_queue.dead_letters.url
    DYNAMODB_TABLE_NAME   = aws_dynamodb_table.state.name
  }, local.bucket_key_arn == null ? {} : { S3_KMS_KEY = local.bucket_key_arn })

  tags = merge({
    application = "collage-worker"
    environment = var.environment
    half        = "data"
    managed-by  = "terraform"
  }, var.tags)
}
