# Bad variables are refused before anything is made.
mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws", dns_suffix = "amazonaws.com" }
  }
  mock_data "aws_availability_zones" {
    defaults = { names = ["us-east-1a", "us-east-1b", "us-east-1c", "us-east-1d"] }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/collage-worker-staging-us-east-1" }
  }
  mock_resource "aws_ecs_cluster" {
    defaults = { arn = "arn:aws:ecs:us-east-1:123456789012:cluster/collage-worker-staging-us-east-1" }
  }
  mock_resource "aws_ecs_service" {
    defaults = { id = "arn:aws:ecs:us-east-1:123456789012:service/collage-worker-staging-us-east-1/collage-worker-staging-us-east-1" }
  }
  mock_resource "aws_ecs_task_definition" {
    defaults = { arn = "arn:aws:ecs:us-east-1:123456789012:task-definition/collage-worker-staging-us-east-1:1" }
  }
  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws:logs:us-east-1:123456789012:log-group:/ecs/collage-worker-staging-us-east-1" }
  }
  mock_resource "aws_appautoscaling_policy" {
    defaults = { arn = "arn:aws:autoscaling:us-east-1:123456789012:scalingPolicy:00000000" }
  }
  mock_resource "aws_sns_topic" {
    defaults = { arn = "arn:aws:sns:us-east-1:123456789012:collage-worker-staging-us-east-1-alarms" }
  }
}

variables {
  image_tag = "0123abc"
  data_half = {
    environment    = "staging"
    region         = "us-east-1"
    input_bucket   = "test-input"
    output_bucket  = "test-output"
    temp_bucket    = "test-temp"
    queue_name     = "test-queue"
    queue_url      = "https://sqs.us-east-1.amazonaws.com/123456789012/test-queue"
    queue_arn      = "arn:aws:sqs:us-east-1:123456789012:test-queue"
    dlq_name       = "test-dlq"
    dlq_url        = "https://sqs.us-east-1.amazonaws.com/123456789012/test-dlq"
    dlq_arn        = "arn:aws:sqs:us-east-1:123456789012:test-dlq"
    table_name     = "test-table"
    table_arn      = "arn:aws:dynamodb:us-east-1:123456789012:table/test-table"
    repository_url = "123456789012.dkr.ecr.us-east-1.amazonaws.com/collage-worker"
    repository_arn = "arn:aws:ecr:us-east-1:123456789012:repository/collage-worker"
    key_arn        = "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000"
  }
}

run "account_by_name" {
  command         = plan
  expect_failures = [var.allowed_account_ids]
  variables {
    allowed_account_ids = ["my-account"]
  }
}

run "image_latest" {
  command         = plan
  expect_failures = [var.image_tag]
  variables {
    image_tag = "latest"
  }
}

run "digest_that_is_none" {
  command         = plan
  expect_failures = [var.image_digest]
  variables {
    image_digest = "0123abc"
  }
}

run "record_of_a_novel" {
  command         = plan
  expect_failures = [var.deployment_record]
  variables {
    deployment_record = { commit = "0123abc", variables = join("", [for number in range(1000) : format("%0200d", number)]) }
  }
}

run "image_without_a_tag" {
  command         = plan
  expect_failures = [var.image_tag]
  variables {
    image_tag = ""
  }
}

run "more_than_fifty_tasks" {
  command         = plan
  expect_failures = [var.max_tasks]
  variables {
    max_tasks = 51
  }
}

run "no_tasks_at_all" {
  command         = plan
  expect_failures = [var.max_tasks]
  variables {
    max_tasks = 0
    min_tasks = 0
  }
}

run "more_at_rest_than_at_most" {
  command         = plan
  expect_failures = [var.min_tasks]
  variables {
    min_tasks = 6
    max_tasks = 5
  }
}

run "half_a_task" {
  command         = plan
  expect_failures = [var.min_tasks]
  variables {
    min_tasks = 0.5
  }
}

run "latency_shorter_than_scaling_takes" {
  command         = plan
  expect_failures = [var.acceptable_latency_seconds]
  variables {
    acceptable_latency_seconds = 10
    message_seconds            = 5
  }
}

run "message_that_takes_longer_than_it_may" {
  command         = plan
  expect_failures = [var.message_seconds]
  variables {
    message_seconds = 1000
  }
}

run "minimum_at_no_time" {
  command         = plan
  expect_failures = [var.scheduled_minimums]
  variables {
    scheduled_minimums = { morning = { schedule = "7 o'clock", min_tasks = 1 } }
  }
}

run "minimum_above_the_maximum" {
  command         = plan
  expect_failures = [var.scheduled_minimums]
  variables {
    scheduled_minimums = { morning = { schedule = "cron(0 7 * * ? *)", min_tasks = 51 } }
  }
}

run "shell_in_production" {
  command         = plan
  expect_failures = [var.execute_command]
  variables {
    execute_command = true
    data_half = {
      environment    = "production"
      region         = "us-east-1"
      input_bucket   = "test-input"
      output_bucket  = "test-output"
      temp_bucket    = "test-temp"
      queue_name     = "test-queue"
      queue_url      = "https://sqs.us-east-1.amazonaws.com/123456789012/test-queue"
      queue_arn      = "arn:aws:sqs:us-east-1:123456789012:test-queue"
      dlq_name       = "test-dlq"
      dlq_url        = "https://sqs.us-east-1.amazonaws.com/123456789012/test-dlq"
      dlq_arn        = "arn:aws:sqs:us-east-1:123456789012:test-dlq"
      table_name     = "test-table"
      table_arn      = "arn:aws:dynamodb:us-east-1:123456789012:table/test-table"
      repository_url = "123456789012.dkr.ecr.us-east-1.amazonaws.com/collage-worker"
      repository_arn = "arn:aws:ecr:us-east-1:123456789012:repository/collage-worker"
      key_arn        = "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000"
    }
  }
}

run "architecture_that_fargate_has_not" {
  command         = plan
  expect_failures = [var.cpu_architecture]
  variables {
    cpu_architecture = "RISCV"
  }
}

run "ages_that_are_beyond_retention_together" {
  command         = plan
  expect_failures = [var.thresholds]
  variables {
    thresholds = { retention_age = 1000000, dlq_age = 400000 }
  }
}

run "rest_before_the_figures_are_right" {
  command         = plan
  expect_failures = [var.idle_minutes]
  variables {
    idle_minutes = 1
  }
}

run "no_capacity" {
  command         = plan
  expect_failures = [var.capacity]
  variables {
    capacity = { on_demand_weight = 0, spot_weight = 0 }
  }
}

run "less_than_no_capacity" {
  command         = plan
  expect_failures = [var.capacity]
  variables {
    capacity = { on_demand_base = -1 }
  }
}

run "cpu_that_fargate_has_not" {
  command         = plan
  expect_failures = [var.cpu]
  variables {
    cpu = 1000
  }
}

run "memory_that_fargate_has_not" {
  command         = plan
  expect_failures = [var.memory]
  variables {
    memory = 16384
  }
}

run "memory_in_gigabytes" {
  command         = plan
  expect_failures = [var.memory]
  variables {
    memory = 2
  }
}

run "storage_below_what_is_free" {
  command         = plan
  expect_failures = [var.ephemeral_storage_gib]
  variables {
    ephemeral_storage_gib = 10
  }
}

run "storage_beyond_fargate" {
  command         = plan
  expect_failures = [var.ephemeral_storage_gib]
  variables {
    ephemeral_storage_gib = 500
  }
}

run "retention_that_logs_have_not" {
  command         = plan
  expect_failures = [var.log_retention_days]
  variables {
    log_retention_days = 10
  }
}

run "setting_that_is_none" {
  command         = plan
  expect_failures = [var.settings]
  variables {
    settings = { DEFUALT_ROWS = "5" }
  }
}

run "secret_among_the_settings" {
  command         = plan
  expect_failures = [var.settings]
  variables {
    settings = { AWS_SECRET_ACCESS_KEY = "x" }
  }
}

run "private_addresses_in_aws" {
  command         = plan
  expect_failures = [var.settings]
  variables {
    settings = { ALLOW_PRIVATE_ADDRESSES = "true" }
  }
}

run "setting_of_the_module_itself" {
  command         = plan
  expect_failures = [var.settings]
  variables {
    settings = { SQS_QUEUE_URL = "https://elsewhere" }
  }
}

run "egress_by_carrier_pigeon" {
  command         = plan
  expect_failures = [var.egress]
  variables {
    egress = "pigeon"
  }
}

run "egress_without_https" {
  command         = plan
  expect_failures = [var.egress_ports]
  variables {
    egress_ports = [80]
  }
}

run "vpc_without_subnets" {
  command         = plan
  expect_failures = [var.subnet_ids]
  variables {
    vpc_id = "vpc-0123456789abcdef0"
  }
}

run "subnet_by_name" {
  command         = plan
  expect_failures = [var.subnet_ids]
  variables {
    vpc_id     = "vpc-0123456789abcdef0"
    subnet_ids = ["public-a"]
  }
}

run "vpc_by_name" {
  command         = plan
  expect_failures = [var.vpc_id]
  variables {
    vpc_id     = "main"
    subnet_ids = ["subnet-0123456789abcdef0"]
  }
}

run "network_too_small" {
  command         = plan
  expect_failures = [var.vpc_cidr]
  variables {
    vpc_cidr = "10.0.0.0/28"
  }
}

run "one_zone" {
  command         = plan
  expect_failures = [var.zones]
  variables {
    zones = 1
  }
}

run "bucket_as_url" {
  command         = plan
  expect_failures = [var.allowed_input_buckets]
  variables {
    allowed_input_buckets = ["s3://other"]
  }
}

run "address_without_at" {
  command         = plan
  expect_failures = [var.alarm_emails]
  variables {
    alarm_emails = ["on-call"]
  }
}

run "ratio_in_percent" {
  command         = plan
  expect_failures = [var.thresholds]
  variables {
    thresholds = { error_ratio = 50 }
  }
}

run "age_beyond_retention" {
  command         = plan
  expect_failures = [var.thresholds]
  variables {
    thresholds = { oldest_message_age = 9999999 }
  }
}

run "memory_as_a_share" {
  command         = plan
  expect_failures = [var.thresholds]
  variables {
    thresholds = { memory_percent = 0.9 }
  }
}

run "negative_price" {
  command         = plan
  expect_failures = [var.prices]
  variables {
    prices = { vcpu_hour = -1 }
  }
}

run "runbook_with_spaces" {
  command         = plan
  expect_failures = [var.runbook_url]
  variables {
    runbook_url = "the runbook"
  }
}

run "tag_in_the_name_space_of_aws" {
  command         = plan
  expect_failures = [var.tags]
  variables {
    tags = { "aws:owner" = "me" }
  }
}

run "queue_without_https" {
  command         = plan
  expect_failures = [var.data_half]
  variables {
    data_half = {
      environment    = "staging"
      region         = "us-east-1"
      input_bucket   = "test-input"
      output_bucket  = "test-output"
      temp_bucket    = "test-temp"
      queue_name     = "test-queue"
      queue_url      = "http://sqs.us-east-1.amazonaws.com/123456789012/test-queue"
      queue_arn      = "arn:aws:sqs:us-east-1:123456789012:test-queue"
      dlq_name       = "test-dlq"
      dlq_url        = "https://sqs.us-east-1.amazonaws.com/123456789012/test-dlq"
      dlq_arn        = "arn:aws:sqs:us-east-1:123456789012:test-dlq"
      table_name     = "test-table"
      table_arn      = "arn:aws:dynamodb:us-east-1:123456789012:table/test-table"
      repository_url = "123456789012.dkr.ecr.us-east-1.amazonaws.com/collage-worker"
      repository_arn = "arn:aws:ecr:us-east-1:123456789012:repository/collage-worker"
      key_arn        = "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000"
    }
  }
}

run "queue_by_name_instead_of_arn" {
  command         = plan
  expect_failures = [var.data_half]
  variables {
    data_half = {
      environment    = "staging"
      region         = "us-east-1"
      input_bucket   = "test-input"
      output_bucket  = "test-output"
      temp_bucket    = "test-temp"
      queue_name     = "test-queue"
      queue_url      = "https://sqs.us-east-1.amazonaws.com/123456789012/test-queue"
      queue_arn      = "test-queue"
      dlq_name       = "test-dlq"
      dlq_url        = "https://sqs.us-east-1.amazonaws.com/123456789012/test-dlq"
      dlq_arn        = "arn:aws:sqs:us-east-1:123456789012:test-dlq"
      table_name     = "test-table"
      table_arn      = "arn:aws:dynamodb:us-east-1:123456789012:table/test-table"
      repository_url = "123456789012.dkr.ecr.us-east-1.amazonaws.com/collage-worker"
      repository_arn = "arn:aws:ecr:us-east-1:123456789012:repository/collage-worker"
      key_arn        = "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000"
    }
  }
}

run "path_of_no_role" {
  command         = plan
  expect_failures = [var.role_path]
  variables { role_path = "applications" }
}

run "boundary_by_name" {
  command         = plan
  expect_failures = [var.permissions_boundary]
  variables { permissions_boundary = "boundary" }
}

run "zone_by_its_name_in_one_account" {
  command         = plan
  expect_failures = [var.excluded_zone_ids]
  variables { excluded_zone_ids = ["us-east-1e"] }
}

run "endpoint_that_nobody_uses" {
  command         = plan
  expect_failures = [var.interface_endpoints]
  variables { interface_endpoints = ["lambda"] }
}

run "endpoints_in_a_network_of_others" {
  command         = plan
  expect_failures = [var.interface_endpoints]
  variables {
    vpc_id              = "vpc-0123456789abcdef0"
    subnet_ids          = ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]
    interface_endpoints = ["sqs"]
  }
}

run "name_server_by_name" {
  command         = plan
  expect_failures = [var.dns_servers]
  variables { dns_servers = ["dns.internal"] }
}

run "password_among_the_variables" {
  command         = plan
  expect_failures = [var.mysql_export]
  variables {
    mysql_export = {
      secret_arn     = "mysql://db.example/covers"
      database_block = "10.0.3.0/24"
      query          = "SELECT creator, cover_url FROM posts"
      schedule       = "cron(0 2 * * ? *)"
    }
  }
}

run "export_every_night" {
  command         = plan
  expect_failures = [var.mysql_export]
  variables {
    mysql_export = {
      secret_arn     = "arn:aws:secretsmanager:us-east-1:123456789012:secret:covers-abc123"
      database_block = "10.0.3.0/24"
      query          = "SELECT creator, cover_url FROM posts"
      schedule       = "every night"
    }
  }
}

run "database_by_name" {
  command         = plan
  expect_failures = [var.mysql_export]
  variables {
    mysql_export = {
      secret_arn     = "arn:aws:secretsmanager:us-east-1:123456789012:secret:covers-abc123"
      database_block = "db.internal"
      query          = "SELECT creator, cover_url FROM posts"
      schedule       = "cron(0 2 * * ? *)"
    }
  }
}

run "export_that_starts_no_batch" {
  command         = plan
  expect_failures = [var.mysql_export]
  variables {
    mysql_export = {
      secret_arn     = "arn:aws:secretsmanager:us-east-1:123456789012:secret:covers-abc123"
      database_block = "10.0.3.0/24"
      query          = "SELECT creator, cover_url FROM posts"
      schedule       = "cron(0 2 * * ? *)"
      key            = "exports/covers.csv"
    }
  }
}

run "export_that_deletes" {
  command         = plan
  expect_failures = [var.mysql_export]
  variables {
    mysql_export = {
      secret_arn     = "arn:aws:secretsmanager:us-east-1:123456789012:secret:covers-abc123"
      database_block = "10.0.3.0/24"
      query          = "DELETE FROM posts"
      schedule       = "cron(0 2 * * ? *)"
    }
  }
}
