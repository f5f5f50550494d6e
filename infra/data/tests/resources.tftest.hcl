# The data half as it is made with its defaults. No account is needed: the provider is a mock. Everything is only planned,
# because what is protected from destruction could not be cleared away after an apply.
mock_provider "aws" {
  override_during = plan

  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws", dns_suffix = "amazonaws.com" }
  }
  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000" }
  }
}

override_resource {
  target          = aws_sqs_queue.jobs
  override_during = plan
  values = {
    arn = "arn:aws:sqs:us-east-1:123456789012:tiktok-image-processing-queue"
    url = "https://sqs.us-east-1.amazonaws.com/123456789012/tiktok-image-processing-queue-test-us-east-1"
  }
}

override_resource {
  target          = aws_sqs_queue.dead_letters
  override_during = plan
  values = {
    arn = "arn:aws:sqs:us-east-1:123456789012:tiktok-image-processing-dlq"
    url = "https://sqs.us-east-1.amazonaws.com/123456789012/tiktok-image-processing-dlq-test-us-east-1"
  }
}

override_resource {
  target          = aws_s3_bucket.input
  override_during = plan
  values          = { arn = "arn:aws:s3:::tiktok-image-input" }
}

override_resource {
  target          = aws_s3_bucket.output
  override_during = plan
  values          = { arn = "arn:aws:s3:::tiktok-image-output" }
}

override_resource {
  target          = aws_s3_bucket.temp
  override_during = plan
  values          = { arn = "arn:aws:s3:::tiktok-image-temp" }
}

variables {
  environment = "test"
  python      = "true" # stands in for the program that sets the message size
}

run "names_carry_environment_region_and_account" {
  command = plan

  assert {
    condition = local.names == {
      input        = "tiktok-image-input-test-us-east-1-123456789012"
      output       = "tiktok-image-output-test-us-east-1-123456789012"
      temp         = "tiktok-image-temp-test-us-east-1-123456789012"
      queue        = "tiktok-image-processing-queue-test-us-east-1"
      dead_letters = "tiktok-image-processing-dlq-test-us-east-1"
      table        = "tiktok-creator-processing-state-test-us-east-1"
      repository   = "collage-worker-test-us-east-1"
    }
    error_message = "Nothing is shared by two environments of an account, or by an environment's two regions."
  }
  assert {
    condition = (
      aws_s3_bucket.input.bucket == local.names.input && aws_s3_bucket.output.bucket == local.names.output && aws_s3_bucket.temp.bucket == local.names.temp
      && aws_sqs_queue.jobs.name == local.names.queue && aws_sqs_queue.dead_letters.name == local.names.dead_letters
      && aws_dynamodb_table.state.name == local.names.table && aws_ecr_repository.worker.name == local.names.repository
    )
    error_message = "Each thing has the name that was made for it."
  }
  assert {
    condition = output.commands_environment == {
      AWS_REGION            = "us-east-1"
      INPUT_BUCKET          = local.names.input
      OUTPUT_BUCKET         = local.names.output
      TEMP_BUCKET           = local.names.temp
      EXPECTED_BUCKET_OWNER = "123456789012"
      SQS_QUEUE_URL         = aws_sqs_queue.jobs.url
      SQS_DLQ_URL           = aws_sqs_queue.dead_letters.url
      DYNAMODB_TABLE_NAME   = local.names.table
    }
    error_message = "The commands are told of everything that they look for."
  }
}

run "the_longest_names_fit" {
  command = plan

  variables {
    environment = "fifteen-letters"
    region      = "ap-southeast-1"
  }
  override_resource {
    target          = aws_sqs_queue.jobs
    override_during = plan
    values          = { url = "https://sqs/123456789012/tiktok-image-processing-queue-fifteen-letters-ap-southeast-1" }
  }
  override_resource {
    target          = aws_sqs_queue.dead_letters
    override_during = plan
    values          = { url = "https://sqs/123456789012/tiktok-image-processing-dlq-fifteen-letters-ap-southeast-1" }
  }
  assert {
    condition     = alltrue([for name in ["input", "output", "temp"] : length(local.names[name]) <= 63]) && length(local.names.queue) <= 80
    error_message = "S3 takes 63 characters, SQS 80."
  }
}

run "names_that_are_there_already" {
  command = plan

  variables {
    buckets    = { input = "my-manifests" }
    queue_name = "my-queue"
  }
  override_resource {
    target          = aws_sqs_queue.jobs
    override_during = plan
    values          = { url = "https://sqs/123456789012/my-queue" }
  }
  assert {
    condition     = aws_s3_bucket.input.bucket == "my-manifests" && aws_sqs_queue.jobs.name == "my-queue" && aws_s3_bucket.temp.bucket == local.names.temp
    error_message = "Names that are given are taken, the others are made."
  }
}

run "queues" {
  command = plan

  assert {
    condition     = aws_sqs_queue.jobs.message_retention_seconds == 1209600 && aws_sqs_queue.jobs.visibility_timeout_seconds == 900
    error_message = "The queue keeps messages for 14 days and hides them for 900 s."
  }
  assert {
    condition     = aws_sqs_queue.jobs.receive_wait_time_seconds == 20 && local.max_message_size == 1048576
    error_message = "The queue waits 20 s for messages and takes 1 MiB."
  }
  assert {
    condition     = keys(terraform_data.max_message_size) == ["dead_letters", "jobs"]
    error_message = "Both queues must take 1 MiB: a message that fails moves as it is."
  }
  assert {
    condition     = jsondecode(aws_sqs_queue.jobs.redrive_policy) == { deadLetterTargetArn = aws_sqs_queue.dead_letters.arn, maxReceiveCount = 3 }
    error_message = "After three receives a message goes to the dead-letter queue."
  }
  assert {
    condition     = jsondecode(aws_sqs_queue_redrive_allow_policy.dead_letters.redrive_allow_policy) == { redrivePermission = "byQueue", sourceQueueArns = [aws_sqs_queue.jobs.arn] }
    error_message = "Only the job queue may use the dead-letter queue."
  }
  assert {
    condition     = aws_sqs_queue.dead_letters.message_retention_seconds == 1209600
    error_message = "The dead-letter queue keeps messages as long as SQS can: they bring their age along."
  }
  assert {
    condition     = aws_sqs_queue.jobs.sqs_managed_sse_enabled && aws_sqs_queue.dead_letters.sqs_managed_sse_enabled
    error_message = "Both queues are encrypted."
  }
}

run "queue_admits_only_the_input_bucket" {
  command = plan

  assert {
    condition = [
      for statement in jsondecode(aws_sqs_queue_policy.jobs.policy).Statement : statement if statement.Effect == "Allow"
      ] == [{
        Sid       = "InputBucketNotifies"
        Effect    = "Allow"
        Principal = { Service = "s3.amazonaws.com" }
        Action    = "sqs:SendMessage"
        Resource  = "arn:aws:sqs:us-east-1:123456789012:tiktok-image-processing-queue"
        Condition = {
          ArnEquals    = { "aws:SourceArn" = "arn:aws:s3:::tiktok-image-input" }
          StringEquals = { "aws:SourceAccount" = "123456789012" }
        }
    }]
    error_message = "Nobody but S3, for the input bucket of this account, may send to the queue by its policy."
  }
  assert {
    condition = alltrue([
      for policy in [aws_sqs_queue_policy.jobs.policy, aws_sqs_queue_policy.dead_letters.policy] :
      anytrue([for statement in jsondecode(policy).Statement : statement.Effect == "Deny" && try(statement.Condition.Bool["aws:SecureTransport"], "") == "false"])
    ])
    error_message = "Both queues refuse calls without TLS."
  }
}

run "notifications" {
  command = plan

  assert {
    condition = length(aws_s3_bucket_notification.manifests.queue) == 1 && alltrue([
      for rule in aws_s3_bucket_notification.manifests.queue :
      rule.filter_prefix == "csv-files/" && try(length(rule.filter_suffix), 0) == 0 && rule.events == toset(["s3:ObjectCreated:*"]) && rule.queue_arn == aws_sqs_queue.jobs.arn
    ])
    error_message = "Every object under csv-files/ is told to the queue, whatever its suffix and case."
  }
}

run "manifests_may_be_told_of_by_eventbridge" {
  command = plan

  variables { input_events = "eventbridge" }
  override_resource {
    target          = aws_cloudwatch_event_rule.manifests
    override_during = plan
    values          = { arn = "arn:aws:events:us-east-1:123456789012:rule/manifests" }
  }
  assert {
    condition     = aws_s3_bucket_notification.manifests.eventbridge && length(aws_s3_bucket_notification.manifests.queue) == 0
    error_message = "The bucket tells EventBridge, and not the queue a second time."
  }
  assert {
    condition     = jsondecode(aws_cloudwatch_event_rule.manifests[0].event_pattern).detail.object.key == [{ prefix = "csv-files/" }] && aws_cloudwatch_event_target.manifests[0].arn == aws_sqs_queue.jobs.arn
    error_message = "The rule tells the queue of what is dropped under csv-files/."
  }
  assert {
    condition = [
      for statement in jsondecode(aws_sqs_queue_policy.jobs.policy).Statement : "${statement.Sid} ${statement.Condition.ArnEquals["aws:SourceArn"]}" if statement.Effect == "Allow"
    ] == ["RuleTellsOfManifests arn:aws:events:us-east-1:123456789012:rule/manifests"]
    error_message = "The queue admits that rule, and no longer the bucket."
  }
}

run "others_may_be_let_in" {
  command = plan

  variables {
    queue_policy_statements = [{
      Sid       = "TopicSends", Effect = "Allow", Principal = { Service = "sns.amazonaws.com" }, Action = "sqs:SendMessage"
      Condition = { ArnEquals = { "aws:SourceArn" = "arn:aws:sns:us-east-1:210987654321:jobs" } }
    }]
    bucket_policy_statements = {
      input = [{ Sid = "OtherAccountDrops", Effect = "Allow", Principal = { AWS = "arn:aws:iam::210987654321:root" }, Action = ["s3:PutObject"] }]
    }
  }
  assert {
    condition = [
      for statement in jsondecode(aws_sqs_queue_policy.jobs.policy).Statement : [statement.Sid, statement.Resource]
    ] == [for sid in ["InputBucketNotifies", "TlsOnly", "TopicSends"] : [sid, aws_sqs_queue.jobs.arn]]
    error_message = "What is given is added to the queue's own statements, for this queue."
  }
  assert {
    condition = (
      [for statement in jsondecode(aws_s3_bucket_policy.tls_only["input"].policy).Statement : statement.Sid] == ["TlsOnly", "OtherAccountDrops"]
      && jsondecode(aws_s3_bucket_policy.tls_only["input"].policy).Statement[1].Resource == ["arn:aws:s3:::tiktok-image-input", "arn:aws:s3:::tiktok-image-input/*"]
      && length(jsondecode(aws_s3_bucket_policy.tls_only["output"].policy).Statement) == 1
    )
    error_message = "And to the bucket that it is given for, and no other."
  }
}

run "collages_and_uploads_may_end" {
  command = plan

  variables {
    collage_lifecycle  = { prefixes = ["collages/", "daily/collages/"], ia_days = 60, expire_days = 400 }
    manual_upload_days = 90
  }
  assert {
    condition = {
      for rule in aws_s3_bucket_lifecycle_configuration.output.rule : rule.filter[0].prefix => "${join(",", [for each in rule.transition : each.days])} ${rule.expiration[0].days}" if startswith(rule.id, "collages-")
    } == { "collages/" = "60 400", "daily/collages/" = "60 400" }
    error_message = "Collages move and end, under each of the prefixes."
  }
  assert {
    condition     = [for rule in aws_s3_bucket_lifecycle_configuration.input.rule : rule.expiration[0].days if rule.id == "manual-uploads"] == [90]
    error_message = "Manifests that jobs name end, too."
  }
}

run "buckets_are_closed" {
  command = plan

  assert {
    condition = keys(aws_s3_bucket_public_access_block.all) == ["input", "output", "temp"] && alltrue([
      for block in aws_s3_bucket_public_access_block.all :
      block.block_public_acls && block.block_public_policy && block.ignore_public_acls && block.restrict_public_buckets
    ])
    error_message = "Public access is blocked in each bucket, in all four ways."
  }
  assert {
    condition = length(aws_s3_bucket_policy.tls_only) == 3 && alltrue([
      for name, policy in aws_s3_bucket_policy.tls_only :
      jsondecode(policy.policy).Statement[0].Effect == "Deny"
      && jsondecode(policy.policy).Statement[0].Action == "s3:*"
      && jsondecode(policy.policy).Statement[0].Principal == "*"
      && jsondecode(policy.policy).Statement[0].Condition.Bool["aws:SecureTransport"] == "false"
      && jsondecode(policy.policy).Statement[0].Resource == [local.buckets[name].arn, "${local.buckets[name].arn}/*"]
    ])
    error_message = "Each bucket refuses calls without TLS, for itself and its objects."
  }
  assert {
    condition     = length(aws_s3_bucket_ownership_controls.all) == 3 && alltrue([for control in aws_s3_bucket_ownership_controls.all : control.rule[0].object_ownership == "BucketOwnerEnforced"])
    error_message = "Access control lists are off."
  }
  assert {
    condition     = length(aws_s3_bucket_server_side_encryption_configuration.all) == 3 && alltrue([for each in aws_s3_bucket_server_side_encryption_configuration.all : tolist(each.rule)[0].apply_server_side_encryption_by_default[0].sse_algorithm == "AES256"]) && output.for_service.bucket_key_arn == null
    error_message = "Each bucket encrypts with AES256."
  }
  assert {
    condition     = keys(aws_s3_bucket_versioning.kept) == ["input", "output"] && alltrue([for each in aws_s3_bucket_versioning.kept : each.versioning_configuration[0].status == "Enabled"])
    error_message = "Input and output keep versions, scratch does not."
  }
}

run "buckets_encrypted_with_the_deployments_key" {
  command = plan
  variables { bucket_encryption = "aws:kms" }

  assert {
    condition = length(aws_s3_bucket_server_side_encryption_configuration.all) == 3 && alltrue([
      for each in aws_s3_bucket_server_side_encryption_configuration.all :
      tolist(each.rule)[0].bucket_key_enabled
      && tolist(each.rule)[0].apply_server_side_encryption_by_default[0].sse_algorithm == "aws:kms"
      && tolist(each.rule)[0].apply_server_side_encryption_by_default[0].kms_master_key_id == aws_kms_key.main.arn
    ])
    error_message = "Each bucket encrypts with the deployment's key, and asks for it once for many objects."
  }
  assert {
    condition     = output.for_service.bucket_key_arn == aws_kms_key.main.arn && output.commands_environment.S3_KMS_KEY == aws_kms_key.main.arn
    error_message = "The worker and the commands are told of the key: without its name S3 takes another."
  }
}

run "lifecycles" {
  command = plan

  assert {
    condition = alltrue([
      for prefix in ["csv-files/", "archived/"] : anytrue([
        for rule in aws_s3_bucket_lifecycle_configuration.input.rule :
        rule.status == "Enabled" && try(rule.filter[0].prefix, "") == prefix
        && { for each in rule.transition : each.storage_class => each.days } == { STANDARD_IA = 30, GLACIER = 90, DEEP_ARCHIVE = 365 }
      ])
    ])
    error_message = "Manifests move to STANDARD_IA after 30 days, GLACIER after 90, DEEP_ARCHIVE after 365."
  }
  assert {
    condition = anytrue([
      for rule in aws_s3_bucket_lifecycle_configuration.temp.rule :
      rule.status == "Enabled" && try(rule.filter[0].prefix, "") == "processing/" && try(rule.expiration[0].days, 0) == 7
    ])
    error_message = "processing/ of the temp bucket is gone after 7 days."
  }
  assert {
    condition = {
      for rule in aws_s3_bucket_lifecycle_configuration.output.rule : rule.id => rule.expiration[0].days if rule.id != "leftovers"
    } == { smoke-batches = 30 }
    error_message = "Of the output bucket nothing ends by itself but what deployments were proved with."
  }
  assert {
    condition = alltrue([
      for each in [aws_s3_bucket_lifecycle_configuration.input, aws_s3_bucket_lifecycle_configuration.output, aws_s3_bucket_lifecycle_configuration.temp] :
      anytrue([for rule in each.rule : rule.status == "Enabled" && try(rule.abort_incomplete_multipart_upload[0].days_after_initiation, 99) <= 7])
    ])
    error_message = "Unfinished multipart uploads are aborted in each bucket."
  }
}

run "table" {
  command = plan

  assert {
    condition     = aws_dynamodb_table.state.billing_mode == "PAY_PER_REQUEST" && aws_dynamodb_table.state.hash_key == "creator_name" && aws_dynamodb_table.state.range_key == "processing_date"
    error_message = "The table is on demand, by creator and date."
  }
  assert {
    condition = { for index in aws_dynamodb_table.state.global_secondary_index : index.name => "${index.hash_key}/${index.range_key == null ? "" : index.range_key}/${index.projection_type}" } == {
      batch-id-index    = "batch_id//ALL"
      status-date-index = "status/processing_date/ALL"
    }
    error_message = "Both indexes are there, with everything in them."
  }
  assert {
    condition = (
      aws_dynamodb_table.state.ttl[0].enabled && aws_dynamodb_table.state.ttl[0].attribute_name == "ttl"
      && aws_dynamodb_table.state.point_in_time_recovery[0].enabled && aws_dynamodb_table.state.deletion_protection_enabled
      && aws_dynamodb_table.state.server_side_encryption[0].enabled
    )
    error_message = "The table forgets by ttl, can be restored to a point in time, is protected from deletion, and encrypted."
  }
}

run "registry" {
  command = plan

  assert {
    condition = (
      aws_ecr_repository.worker.image_tag_mutability == "IMMUTABLE" && !aws_ecr_repository.worker.force_delete
      && aws_ecr_repository.worker.image_scanning_configuration[0].scan_on_push
      && tolist(aws_ecr_repository.worker.encryption_configuration)[0].encryption_type == "KMS"
    )
    error_message = "Tags cannot move, images are scanned and encrypted."
  }
  assert {
    condition = [
      for rule in jsondecode(aws_ecr_lifecycle_policy.worker.policy).rules : rule.selection.tagStatus
    ] == ["untagged", "tagged"]
    error_message = "Old images are counted by their tags: an index's parts, which have none, are no images of their own."
  }
  assert {
    condition     = length(aws_ecr_repository_policy.readers) == 0
    error_message = "Nobody else reads images unless named."
  }
}

run "another_account_may_promote_from_here" {
  command = plan

  variables { image_readers = ["210987654321"] }
  assert {
    condition     = jsondecode(aws_ecr_repository_policy.readers[0].policy).Statement[0].Principal.AWS == ["arn:aws:iam::210987654321:root"]
    error_message = "The accounts named, and no other."
  }
  assert {
    condition     = alltrue([for action in jsondecode(aws_ecr_repository_policy.readers[0].policy).Statement[0].Action : !strcontains(action, "Put") && !strcontains(action, "*")])
    error_message = "They read, and write nothing."
  }
}

run "key" {
  command = plan

  assert {
    condition = {
      for statement in jsondecode(aws_kms_key.main.policy).Statement :
      statement.Sid => try(statement.Condition.StringEquals["aws:SourceAccount"], "any account") if strcontains(statement.Sid, "PublishToTheTopic")
    } == { AlarmsPublishToTheTopic = "123456789012", DeploymentEventsPublishToTheTopic = "any account" }
    error_message = "Alarms and deployment events reach the encrypted topic; for EventBridge, KMS cannot check an account."
  }
  assert {
    condition     = aws_kms_key.main.enable_key_rotation && aws_kms_key.main.deletion_window_in_days == 30
    error_message = "The key is rotated, and a deletion can be taken back for thirty days."
  }
}

run "nothing_that_holds_something_is_destroyed_by_accident" {
  command = plan

  assert {
    condition     = !aws_s3_bucket.input.force_destroy && !aws_s3_bucket.output.force_destroy && !aws_s3_bucket.temp.force_destroy
    error_message = "A bucket that holds something is not destroyed unless asked for."
  }
}
