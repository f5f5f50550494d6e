# Bad variables are refused before anything is made.
mock_provider "aws" {}

variables {
  environment = "test"
  python      = "true"
}

run "environment_with_capitals" {
  command         = plan
  expect_failures = [var.environment]
  variables { environment = "Production" }
}

run "environment_too_long_for_its_buckets" {
  command         = plan
  expect_failures = [var.environment]
  variables { environment = "integration-test" }
}

run "account_by_name" {
  command         = plan
  expect_failures = [var.allowed_account_ids]
  variables { allowed_account_ids = ["my-account"] }
}

run "reader_by_name" {
  command         = plan
  expect_failures = [var.image_readers]
  variables { image_readers = ["production"] }
}

run "placeholder_for_a_bucket" {
  command         = plan
  expect_failures = [var.buckets]
  variables { buckets = { input = "example-tiktok-image-input" } }
}

run "placeholder_for_the_log_bucket" {
  command         = plan
  expect_failures = [var.access_log_bucket]
  variables { access_log_bucket = "example-s3-access-logs" }
}

run "region_that_is_none" {
  command         = plan
  expect_failures = [var.region]
  variables { region = "Virginia" }
}

run "force_destroy_in_production" {
  command         = plan
  expect_failures = [var.force_destroy]
  variables {
    environment   = "production"
    force_destroy = true
  }
}

run "no_deletion_protection_in_production" {
  command         = plan
  expect_failures = [var.deletion_protection]
  variables {
    environment         = "production"
    deletion_protection = false
  }
}

run "bucket_name_with_capitals" {
  command         = plan
  expect_failures = [var.buckets]
  variables { buckets = { input = "Input_Bucket" } }
}

run "one_bucket_for_two_purposes" {
  command         = plan
  expect_failures = [var.buckets]
  variables {
    buckets = {
      input  = "one-and-the-same"
      output = "one-and-the-same"
    }
  }
}

run "fifo_queue" {
  command         = plan
  expect_failures = [var.queue_name]
  variables { queue_name = "jobs.fifo" }
}

run "queue_as_its_own_dlq" {
  command         = plan
  expect_failures = [var.dlq_name]
  variables {
    queue_name = "one-and-the-same"
    dlq_name   = "one-and-the-same"
  }
}

run "table_name_with_spaces" {
  command         = plan
  expect_failures = [var.table_name]
  variables { table_name = "my table" }
}

run "versions_kept_for_no_time" {
  command         = plan
  expect_failures = [var.old_version_days]
  variables { old_version_days = 0 }
}

run "log_bucket_as_url" {
  command         = plan
  expect_failures = [var.access_log_bucket]
  variables { access_log_bucket = "s3://logs" }
}

run "repository_with_capitals" {
  command         = plan
  expect_failures = [var.repository_name]
  variables { repository_name = "Collage" }
}

run "nothing_to_roll_back_to" {
  command         = plan
  expect_failures = [var.images_kept]
  variables { images_kept = 1 }
}

run "tag_in_the_name_space_of_aws" {
  command         = plan
  expect_failures = [var.tags]
  variables { tags = { "aws:owner" = "me" } }
}

run "python_without_a_name" {
  command         = plan
  expect_failures = [var.python]
  variables { python = "" }
}

run "sender_without_an_action" {
  command         = plan
  expect_failures = [var.queue_policy_statements]
  variables { queue_policy_statements = [{ Sid = "Topic", Effect = "Allow", Principal = { Service = "sns.amazonaws.com" } }] }
}

run "everybody_sends_jobs" {
  command         = plan
  expect_failures = [var.queue_policy_statements]
  variables { queue_policy_statements = [{ Sid = "All", Effect = "Allow", Principal = "*", Action = "sqs:SendMessage" }] }
}

run "events_by_pigeon" {
  command         = plan
  expect_failures = [var.input_events]
  variables { input_events = "pigeon" }
}

run "bucket_that_is_none_of_the_three" {
  command         = plan
  expect_failures = [var.bucket_policy_statements]
  variables { bucket_policy_statements = { inputs = [] } }
}

run "bucket_statement_without_an_action" {
  command         = plan
  expect_failures = [var.bucket_policy_statements]
  variables { bucket_policy_statements = { input = [{ Sid = "Other", Effect = "Allow", Principal = { AWS = "210987654321" } }] } }
}

run "collages_that_end_before_they_move" {
  command         = plan
  expect_failures = [var.collage_lifecycle]
  variables { collage_lifecycle = { ia_days = 60, expire_days = 40 } }
}

run "collages_of_no_folder" {
  command         = plan
  expect_failures = [var.collage_lifecycle]
  variables { collage_lifecycle = { prefixes = ["collages"], expire_days = 400 } }
}

run "uploads_that_end_before_they_move" {
  command         = plan
  expect_failures = [var.manual_upload_days]
  variables { manual_upload_days = 7 }
}

run "encryption_that_s3_has_not" {
  command         = plan
  expect_failures = [var.bucket_encryption]
  variables { bucket_encryption = "kms" }
}
