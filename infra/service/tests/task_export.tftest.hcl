# The export from MySQL by the clock. No account is needed: the provider is a mock.
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

run "none_unless_asked_for" {
  assert {
    condition     = length(aws_scheduler_schedule.export) == 0 && length(aws_ecs_task_definition.export) == 0 && length(aws_security_group.export) == 0 && output.export_security_group_id == null
    error_message = "Without mysql_export there is nothing of it."
  }
}

run "export_by_the_clock" {
  variables {
    mysql_export = {
      secret_arn     = "arn:aws:secretsmanager:us-east-1:123456789012:secret:covers-abc123:url::"
      secret_key_arn = "arn:aws:kms:us-east-1:123456789012:key/11111111-0000-0000-0000-000000000000"
      database_block = "10.0.3.0/24"
      query          = "SELECT author AS creator, cover_url FROM posts"
      schedule       = "cron(0 2 * * ? *)"
      timezone       = "Asia/Shanghai"
      ca             = "-----BEGIN CERTIFICATE-----"
    }
  }
  assert {
    condition = (
      local.export_container.command == ["export-mysql", "s3://test-input/csv-files/mysql-export.csv.gz", "--query", "SELECT author AS creator, cover_url FROM posts"]
      && local.export_container.secrets == [{ name = "MYSQL_URL", valueFrom = "arn:aws:secretsmanager:us-east-1:123456789012:secret:covers-abc123:url::" }]
      && local.export_container.image == local.container.image
      && local.export_container.readonlyRootFilesystem && local.export_container.user == "10001" && local.export_container.memory == 1024
    )
    error_message = "The worker's image runs the command, confined as the worker, and gets the URL as a secret."
  }
  assert {
    condition     = { for each in local.export_container.environment : each.name => each.value } == { AWS_REGION = "us-east-1", EXPECTED_BUCKET_OWNER = "123456789012", INPUT_BUCKET = "test-input", LOG_FORMAT = "json", MYSQL_CA = "-----BEGIN CERTIFICATE-----", TMPDIR = "/tmp" }
    error_message = "It is told where to write, and nothing of the queue and the table."
  }
  assert {
    condition     = !strcontains(aws_ecs_task_definition.worker.container_definitions, "MYSQL") && !strcontains(aws_ecs_task_definition.worker.container_definitions, "secretsmanager")
    error_message = "The worker learns nothing of the database."
  }
  assert {
    condition     = aws_scheduler_schedule.export[0].schedule_expression == "cron(0 2 * * ? *)" && aws_scheduler_schedule.export[0].schedule_expression_timezone == "Asia/Shanghai" && aws_scheduler_schedule.export[0].target[0].ecs_parameters[0].task_definition_arn == aws_ecs_task_definition.export[0].arn
    error_message = "The schedule starts the newest definition, by the clock of the place."
  }
  assert {
    condition = (
      jsondecode(aws_iam_role_policy.export[0].policy).Statement == [{ Sid = "WriteTheManifest", Effect = "Allow", Action = "s3:PutObject", Resource = "arn:aws:s3:::test-input/csv-files/mysql-export.csv.gz" }]
      && [for each in jsondecode(aws_iam_role_policy.export_start[0].policy).Statement : each.Resource if each.Sid == "ReadTheDatabasesSecret"] == ["arn:aws:secretsmanager:us-east-1:123456789012:secret:covers-abc123"]
      && [for each in jsondecode(aws_iam_role_policy.export_start[0].policy).Statement : each.Resource if each.Sid == "DecryptTheDatabasesSecret"] == ["arn:aws:kms:us-east-1:123456789012:key/11111111-0000-0000-0000-000000000000"]
    )
    error_message = "It may write its one object, and ECS may read its one secret."
  }
  assert {
    condition = alltrue([
      for statement in jsondecode(aws_iam_role_policy.export_schedule[0].policy).Statement : statement.Resource != "*" && can(statement.Condition)
    ])
    error_message = "The schedule may start that task in that cluster, and nothing else."
  }
  assert {
    condition     = { for rule in aws_vpc_security_group_egress_rule.export : rule.from_port => rule.cidr_ipv4 } == { 3306 = "10.0.3.0/24", 443 = "0.0.0.0/0" }
    error_message = "It reaches the database and AWS."
  }
  assert {
    condition     = jsondecode(aws_cloudwatch_event_rule.export_failed[0].event_pattern).detail.group == ["family:collage-worker-staging-us-east-1-export-mysql"] && strcontains(aws_cloudwatch_event_target.export_failed[0].input_transformer[0].input_template, "#export-failed")
    error_message = "An export that fails is told of."
  }
}

run "export_where_a_key_encrypts_and_names_are_served_elsewhere" {
  variables {
    vpc_id      = "vpc-0123456789abcdef0"
    subnet_ids  = ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]
    dns_servers = ["10.0.0.2/32"]
    data_half   = merge(var.data_half, { bucket_key_arn = var.data_half.key_arn })
    mysql_export = {
      secret_arn     = "arn:aws:secretsmanager:us-east-1:123456789012:secret:covers-abc123"
      database_block = "10.0.3.0/24"
      query          = "SELECT creator, cover_url FROM posts"
      schedule       = "rate(1 day)"
    }
  }
  assert {
    condition     = contains(jsondecode(aws_iam_role_policy.export[0].policy).Statement[*].Sid, "KeyOfTheBuckets") && contains([for each in local.export_container.environment : each.name], "S3_KMS_KEY")
    error_message = "It encrypts as its bucket does."
  }
  assert {
    condition     = toset([for rule in aws_vpc_security_group_egress_rule.export_dns : rule.ip_protocol]) == toset(["tcp", "udp"])
    error_message = "It may ask the VPC's name servers."
  }
}
