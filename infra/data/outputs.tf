output "for_service" {
  description = "Everything that the service half has to know of this one; its variable `data_half` has the same shape."
  value = {
    environment    = var.environment
    region         = var.region
    input_bucket   = aws_s3_bucket.input.bucket
    output_bucket  = aws_s3_bucket.output.bucket
    temp_bucket    = aws_s3_bucket.temp.bucket
    queue_name     = aws_sqs_queue.jobs.name
    queue_url      = aws_sqs_queue.jobs.url
    queue_arn      = aws_sqs_queue.jobs.arn
    dlq_name       = aws_sqs_queue.dead_letters.name
    dlq_url        = aws_sqs_queue.dead_letters.url
    dlq_arn        = aws_sqs_queue.dead_letters.arn
    table_name     = aws_dynamodb_table.state.name
    table_arn      = aws_dynamodb_table.state.arn
    repository_url = aws_ecr_repository.worker.repository_url
    repository_arn = aws_ecr_repository.worker.arn
    key_arn        = aws_kms_key.main.arn
    bucket_key_arn = local.bucket_key_arn
  }

  precondition {
    condition     = endswith(aws_sqs_queue.jobs.url, "/${local.names.queue}") && endswith(aws_sqs_queue.dead_letters.url, "/${local.names.dead_letters}")
    error_message = "SQS gave the queues URLs that do not end in their names; the worker could not find them."
  }
}

output "repository_url" {
  description = "Where the worker's image is pushed to."
  value       = aws_ecr_repository.worker.repository_url

  precondition {
    condition     = !startswith(aws_ecr_repository.worker.repository_url, "http")
    error_message = "A repository is named without a scheme: docker would refuse it."
  }
}

output "disposable" {
  description = "Whether `make destroy DATA=1` may take this half away with what it holds."
  value       = var.force_destroy

  precondition {
    condition     = !(var.force_destroy && aws_dynamodb_table.state.deletion_protection_enabled)
    error_message = "What may be thrown away cannot be protected from deletion as well."
  }
}

output "manifest_drop" {
  description = "Where to drop a manifest to start a batch."
  value       = "s3://${aws_s3_bucket.input.bucket}/csv-files/"

  precondition {
    condition     = local.by_eventbridge || anytrue([for rule in aws_s3_bucket_notification.manifests.queue : rule.filter_prefix == local.manifest_prefix])
    error_message = "The input bucket no longer tells the queue of what is dropped under csv-files/."
  }
}

output "commands_environment" {
  description = "The environment variables that the commands need (submit, list, status, dlq …): `make env ENV=…` writes them for a shell."
  value       = local.commands_environment

  precondition {
    condition     = alltrue([for value in values(local.commands_environment) : length(value) > 0])
    error_message = "Each variable must have a value: an empty one would let a command fall back to a default of another deployment."
  }
}
