# What the code calls, and nothing more: tests/infra/test_rights.py reads the calls from worker/ and compares.
locals {
  bucket_arn = {
    for name in ["input", "output", "temp"] :
    name => "arn:${local.partition}:s3:::${var.data_half["${name}_bucket"]}"
  }

  readable_arns = concat(
    [local.bucket_arn.input],
    [for name in sort(var.allowed_input_buckets) : "arn:${local.partition}:s3:::${name}"],
  )

  task_statements = concat(
    local.storage_statements, local.state_statements,
    var.data_half.bucket_key_arn == null ? [] : local.bucket_key_statements,
    var.execute_command ? local.shell_statements : [],
  )

  # S3 asks for the key in the name of whoever reads or writes an object; parts of an upload are decrypted as well.
  bucket_key_statements = [{
    Sid       = "KeyOfTheBuckets"
    Effect    = "Allow"
    Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
    Resource  = var.data_half.bucket_key_arn
    Condition = { StringEquals = { "kms:ViaService" = local.via["s3"] } }
  }]

  # ECS Exec: the agent in the task speaks to Systems Manager, which knows no resources for it.
  shell_statements = [{
    Sid      = "ShellForPeople"
    Effect   = "Allow"
    Action   = ["ssmmessages:CreateControlChannel", "ssmmessages:CreateDataChannel", "ssmmessages:OpenControlChannel", "ssmmessages:OpenDataChannel"]
    Resource = "*"
  }]

  # How KMS names the service that asks; in China it is not said everywhere whether with .cn, so both count there.
  via = { for name in ["dynamodb", "s3"] : name => distinct(["${name}.${local.region}.amazonaws.com", "${name}.${local.region}.${local.dns_suffix}"]) }

  storage_statements = [
    {
      # Without it S3 answers 403 for what is missing, and a missing manifest looks like a forbidden one.
      Sid      = "TellMissingFromForbidden"
      Effect   = "Allow"
      Action   = "s3:ListBucket"
      Resource = concat(local.readable_arns, [local.bucket_arn.output, local.bucket_arn.temp])
    },
    {
      Sid      = "ReadManifests"
      Effect   = "Allow"
      Action   = ["s3:GetObject", "s3:GetObjectVersion"]
      Resource = [for arn in local.readable_arns : "${arn}/*"]
    },
    {
      Sid      = "ArchiveManifests"
      Effect   = "Allow"
      Action   = "s3:PutObject"
      Resource = "${local.bucket_arn.input}/archived/*"
    },
    {
      # By version: a newer upload under the same key stays.
      Sid      = "RemoveArchivedManifests"
      Effect   = "Allow"
      Action   = ["s3:DeleteObject", "s3:DeleteObjectVersion"]
      Resource = "${local.bucket_arn.input}/csv-files/*"
    },
    {
      Sid      = "WriteResults"
      Effect   = "Allow"
      Action   = ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"]
      Resource = "${local.bucket_arn.output}/*"
    },
    {
      Sid      = "Scratch"
      Effect   = "Allow"
      Action   = ["s3:GetObject", "s3:PutObject"]
      Resource = [for folder in ["processing", "debug", "large-files"] : "${local.bucket_arn.temp}/${folder}/*"]
    },
    {
      # The deployment's smoke batch reads its covers through presigned links of its own: no right is needed for it.
      Sid    = "TakeJobs"
      Effect = "Allow"
      Action = [
        "sqs:ReceiveMessage", "sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:SendMessage",
        "sqs:GetQueueAttributes",
      ]
      Resource = var.data_half.queue_arn
    },
    {
      Sid      = "ExplainDeadLetters"
      Effect   = "Allow"
      Action   = ["sqs:SendMessage", "sqs:GetQueueUrl", "sqs:GetQueueAttributes"]
      Resource = var.data_half.dlq_arn
    },
  ]

  state_statements = [
    {
      Sid      = "KeepState"
      Effect   = "Allow"
      Action   = ["dynamodb:DescribeTable", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"]
      Resource = var.data_half.table_arn
    },
    {
      # The records of a batch, where a chunk's result has expired.
      Sid      = "FindRecordsOfABatch"
      Effect   = "Allow"
      Action   = "dynamodb:Query"
      Resource = "${var.data_half.table_arn}/index/batch-id-index"
    },
    {
      # DynamoDB uses the table's key in the name of whoever reads or writes the table.
      Sid       = "KeyOfTheTable"
      Effect    = "Allow"
      Action    = ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"]
      Resource  = var.data_half.key_arn
      Condition = { StringEquals = { "kms:ViaService" = local.via["dynamodb"] } }
    },
    {
      # A task asks the ECS agent for it, which acts with the task's role.
      Sid      = "StayWhileBusy"
      Effect   = "Allow"
      Action   = ["ecs:GetTaskProtection", "ecs:UpdateTaskProtection"]
      Resource = "arn:${local.partition}:ecs:${local.region}:${local.account}:task/${local.name}/*"
    },
  ]
}
