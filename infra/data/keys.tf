# One key for the table, the registry, the logs and the alarm topic: $1 a month. Buckets and queues are encrypted by
# S3 and SQS themselves (SSE-S3, SSE-SQS). With bucket_encryption = "aws:kms" this key is the buckets' as well: whoever
# reads a collage then needs a right to it, too.
resource "aws_kms_key" "main" {
  description             = "Collage worker, ${var.environment}: table, image registry, logs and alarms"
  enable_key_rotation     = true
  deletion_window_in_days = 30

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "AccountDecidesByIam"
        Effect    = "Allow"
        Principal = { AWS = "arn:${local.partition}:iam::${local.account}:root" }
        Action    = "kms:*"
        Resource  = "*"
      },
      {
        Sid       = "LogGroupsOfThisAccount"
        Effect    = "Allow"
        Principal = { Service = "logs.${var.region}.${data.aws_partition.current.dns_suffix}" }
        Action    = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"]
        Resource  = "*"
        Condition = {
          ArnLike = {
            "kms:EncryptionContext:aws:logs:arn" = "arn:${local.partition}:logs:${var.region}:${local.account}:*"
          }
        }
      },
      {
        # Without this an encrypted topic swallows alarms without a word.
        Sid       = "AlarmsPublishToTheTopic"
        Effect    = "Allow"
        Principal = { Service = "cloudwatch.amazonaws.com" }
        Action    = ["kms:Decrypt", "kms:GenerateDataKey*"]
        Resource  = "*"
        Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
      },
      {
        # A condition on the account is not supported for EventBridge and encrypted topics (SNS Developer Guide, "Key
        # management"); with one, the mail about a failed deployment would never come.
        Sid       = "DeploymentEventsPublishToTheTopic"
        Effect    = "Allow"
        Principal = { Service = "events.amazonaws.com" }
        Action    = ["kms:Decrypt", "kms:GenerateDataKey*"]
        Resource  = "*"
      },
    ]
  })

  lifecycle {
    prevent_destroy = true # what it encrypts could not be read any more
  }
}

resource "aws_kms_alias" "main" {
  name          = "alias/collage-worker-${local.suffix}"
  target_key_id = aws_kms_key.main.key_id
}
