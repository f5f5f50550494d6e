# The task, its roles and its network. No account is needed: the provider is a mock.
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

run "task_definition" {
  assert {
    condition = (
      aws_ecs_task_definition.worker.runtime_platform[0].cpu_architecture == "X86_64"
      && aws_ecs_task_definition.worker.requires_compatibilities == toset(["FARGATE"])
      && aws_ecs_task_definition.worker.execution_role_arn == aws_iam_role.execution.arn
      && aws_ecs_task_definition.worker.task_role_arn == aws_iam_role.task.arn
    )
    error_message = "An x86-64 Fargate task with a role to start it and a role of its own."
  }
  assert {
    condition     = !aws_ecs_service.worker.enable_execute_command && alltrue([for statement in local.task_statements : !anytrue([for action in flatten([statement.Action]) : startswith(action, "ssmmessages:")])])
    error_message = "Nobody opens a shell in a task unless asked for."
  }
  assert {
    condition = alltrue([
      for container in jsondecode(aws_ecs_task_definition.worker.container_definitions) :
      container.readonlyRootFilesystem && container.user == "10001" && container.stopTimeout == 120
      && container.linuxParameters.initProcessEnabled && container.linuxParameters.capabilities.drop == ["ALL"]
      && container.command == ["run"] && length(container.healthCheck.command) > 1
    ])
    error_message = "Read-only root, user 10001, 120 s to stop, an init process, no capabilities, a health check."
  }
  assert {
    condition = (
      jsondecode(aws_ecs_task_definition.worker.container_definitions)[0].memory == 2048
      && aws_ecs_task_definition.worker.memory == "2048"
    )
    error_message = "The container's hard limit is the task's memory: on Fargate a container without one sees none at all."
  }
  assert {
    condition = alltrue([
      for container in jsondecode(aws_ecs_task_definition.worker.container_definitions) :
      container.image == "123456789012.dkr.ecr.us-east-1.amazonaws.com/collage-worker:0123abc"
      && container.mountPoints == [{ sourceVolume = "tmp", containerPath = "/tmp", readOnly = false }]
      && container.logConfiguration.logDriver == "awslogs"
      && container.logConfiguration.options["awslogs-group"] == aws_cloudwatch_log_group.worker.name
    ])
    error_message = "The tagged image, /tmp as the one place to write, logs to the log group."
  }
  assert {
    condition     = [for volume in aws_ecs_task_definition.worker.volume : volume.name] == ["tmp"] && length(aws_ecs_task_definition.worker.ephemeral_storage) == 0
    error_message = "/tmp is the free ephemeral storage."
  }
  assert {
    condition     = aws_cloudwatch_log_group.worker.retention_in_days == 30
    error_message = "Logs end."
  }
}

run "tasks_run_the_bytes_that_were_proved" {
  variables {
    image_digest      = "sha256:0123456789012345678901234567890123456789012345678901234567890123"
    deployment_record = { commit = "0123abc", variables = "cpu = 1024" }
  }
  assert {
    condition     = jsondecode(aws_ecs_task_definition.worker.container_definitions)[0].image == "123456789012.dkr.ecr.us-east-1.amazonaws.com/collage-worker@sha256:0123456789012345678901234567890123456789012345678901234567890123"
    error_message = "The image is named by its digest."
  }
  assert {
    condition     = output.deployment == { image_tag = "0123abc", image_digest = var.image_digest, commit = "0123abc", variables = "cpu = 1024" }
    error_message = "What is needed to go back to this deployment is written down."
  }
}

run "a_shell_in_a_task_is_off_and_possible" {
  variables { execute_command = true }
  assert {
    condition = (
      aws_ecs_service.worker.enable_execute_command && !jsondecode(aws_ecs_task_definition.worker.container_definitions)[0].readonlyRootFilesystem
      && anytrue([for statement in local.task_statements : contains(flatten([statement.Action]), "ssmmessages:OpenDataChannel")])
    )
    error_message = "ECS Exec has its switch, a file system to write its agent to, and its rights."
  }
}

run "arm64" {
  variables { cpu_architecture = "ARM64" }
  assert {
    condition     = aws_ecs_task_definition.worker.runtime_platform[0].cpu_architecture == "ARM64"
    error_message = "Tasks run on the architecture asked for."
  }
}

run "larger_manifests_get_more_room" {
  variables { ephemeral_storage_gib = 100 }
  assert {
    condition     = aws_ecs_task_definition.worker.ephemeral_storage[0].size_in_gib == 100
    error_message = "The storage asked for."
  }
}

run "more_memory_is_seen_by_the_container_as_well" {
  variables { memory = 4096 }
  assert {
    condition     = jsondecode(aws_ecs_task_definition.worker.container_definitions)[0].memory == 4096
    error_message = "The container's limit follows the task's."
  }
}

run "environment_of_the_worker" {
  variables {
    settings              = { LOG_LEVEL = "debug" }
    allowed_input_buckets = ["other-bucket"]
  }
  assert {
    condition = { for each in jsondecode(aws_ecs_task_definition.worker.container_definitions)[0].environment : each.name => each.value } == {
      ALLOWED_INPUT_BUCKETS = "test-input,other-bucket"
      ALLOWED_PORTS         = "443,80"
      AWS_REGION            = "us-east-1"
      DYNAMODB_TABLE_NAME   = "test-table"
      EXPECTED_BUCKET_OWNER = "123456789012"
      HEALTH_PORT           = "8080"
      INPUT_BUCKET          = "test-input"
      LOG_FORMAT            = "json"
      LOG_LEVEL             = "debug"
      METRICS_NAMESPACE     = "TikTokImageProcessor"
      OUTPUT_BUCKET         = "test-output"
      REQUIRE_SANDBOX       = "true"
      SERVICE_NAME          = "collage-worker-staging-us-east-1"
      SQS_DLQ_URL           = "https://sqs.us-east-1.amazonaws.com/123456789012/test-dlq"
      SQS_QUEUE_URL         = "https://sqs.us-east-1.amazonaws.com/123456789012/test-queue"
      STOP_GRACE_SECONDS    = "100"
      TEMP_BUCKET           = "test-temp"
      TMPDIR                = "/tmp"
    }
    error_message = "The worker is told of what the data half made, and nothing else."
  }
}

run "smoke_batches_pass_the_list_of_hosts" {
  variables { settings = { ALLOWED_IMAGE_HOSTS = "*.cdn.example" } }
  assert {
    condition = [
      for each in jsondecode(aws_ecs_task_definition.worker.container_definitions)[0].environment : each.value if each.name == "ALLOWED_IMAGE_HOSTS"
    ] == ["*.cdn.example,test-temp.s3.us-east-1.amazonaws.com"]
    error_message = "A list of hosts without the temp bucket's would let every deployment be rolled back."
  }
}

run "every_name_carries_environment_and_region" {
  variables { egress = "nat" }
  assert {
    condition = alltrue([
      for name in [
        aws_iam_role.execution.name, aws_iam_role.task.name, aws_ecs_cluster.main.name, aws_ecs_service.worker.name,
        aws_ecs_task_definition.worker.family, aws_cloudwatch_log_group.worker.name, aws_sns_topic.alarms.name,
        aws_cloudwatch_dashboard.main.dashboard_name, aws_cloudwatch_event_rule.service["placement-failed"].name, aws_ecs_service.on_demand[0].name,
      ] : strcontains(name, "collage-worker-staging-us-east-1")
    ])
    error_message = "Roles and dashboards are the account's: without the region, a second one could not be deployed to."
  }
  assert {
    condition     = alltrue([for name in [aws_iam_role.execution.name, aws_iam_role.task.name] : length(name) <= 64 - 14])
    error_message = "A role's name has 64 characters, and the longest environment and region need fourteen more than these."
  }
}

run "roles_are_for_tasks_of_this_account" {
  assert {
    condition = alltrue([
      for role in [aws_iam_role.execution, aws_iam_role.task] :
      jsondecode(role.assume_role_policy).Statement[0].Principal.Service == "ecs-tasks.amazonaws.com"
      && jsondecode(role.assume_role_policy).Statement[0].Condition.StringEquals["aws:SourceAccount"] == "123456789012"
    ])
    error_message = "Only ECS tasks of this account take the roles."
  }
}

run "rights_are_least" {
  assert {
    condition = alltrue([
      for statement in concat(local.task_statements, jsondecode(aws_iam_role_policy.execution.policy).Statement) :
      alltrue([for action in flatten([statement.Action]) : !endswith(action, ":*") && action != "*"])
    ])
    error_message = "No right to everything of a service."
  }
  assert {
    condition = [
      for statement in concat(local.task_statements, jsondecode(aws_iam_role_policy.execution.policy).Statement) :
      statement.Sid if contains(flatten([statement.Resource]), "*")
    ] == ["LogInToRegistry"]
    error_message = "Only logging in to the registry is without a resource: IAM knows none for it."
  }
  assert {
    condition = alltrue([
      for statement in local.task_statements : alltrue([
        for arn in flatten([statement.Resource]) :
        anytrue([for allowed in ["test-input", "test-output", "test-temp", "test-queue", "test-dlq", "test-table", ":task/collage-worker-staging-us-east-1/", ":key/"] : strcontains(arn, allowed)])
      ])
    ])
    error_message = "The worker reaches its own buckets, queues, table, key and tasks only."
  }
  assert {
    condition = [
      for statement in local.task_statements : statement.Resource
      if length(setintersection(flatten([statement.Action]), ["s3:DeleteObject", "s3:DeleteObjectVersion"])) > 0
    ] == ["arn:aws:s3:::test-input/csv-files/*"]
    error_message = "The worker deletes nothing but manifests that it archived."
  }
  assert {
    condition = anytrue([
      for statement in local.task_statements :
      toset(flatten([statement.Action])) == toset(["ecs:GetTaskProtection", "ecs:UpdateTaskProtection"])
      && statement.Resource == "arn:aws:ecs:us-east-1:123456789012:task/collage-worker-staging-us-east-1/*"
    ])
    error_message = "Tasks may protect themselves from scale-in."
  }
  assert {
    condition = alltrue([
      for statement in local.task_statements : toset(statement.Condition.StringEquals["kms:ViaService"]) == toset(["dynamodb.us-east-1.amazonaws.com"])
      if strcontains(flatten([statement.Action])[0], "kms:")
    ])
    error_message = "The key is used through DynamoDB only."
  }
  assert {
    condition     = local.environment.EXPECTED_BUCKET_OWNER == "123456789012" && !contains(keys(local.environment), "S3_KMS_KEY")
    error_message = "The buckets are this account's, and S3's own key encrypts."
  }
}

run "buckets_encrypted_with_a_key" {
  variables {
    data_half = merge(var.data_half, { bucket_key_arn = var.data_half.key_arn })
  }
  assert {
    condition     = local.environment.S3_KMS_KEY == var.data_half.key_arn
    error_message = "The worker asks S3 for the buckets' key."
  }
  assert {
    condition = [
      for statement in local.task_statements : toset(statement.Action) if try(contains(flatten([statement.Condition.StringEquals["kms:ViaService"]]), "s3.us-east-1.amazonaws.com"), false)
    ] == [toset(["kms:Decrypt", "kms:GenerateDataKey"])]
    error_message = "The worker may use it, through S3 only."
  }
}

run "deployments_roll_back" {
  assert {
    condition     = aws_ecs_service.worker.deployment_circuit_breaker[0].enable && aws_ecs_service.worker.deployment_circuit_breaker[0].rollback
    error_message = "A deployment that does not come up is rolled back."
  }
  assert {
    condition     = aws_ecs_service.worker.force_new_deployment == true
    error_message = "Without it, another mix of Spot and on demand would replace the service, and end every task."
  }
  assert {
    condition     = aws_ecs_service.worker.availability_zone_rebalancing == "DISABLED" && aws_ecs_service.worker.deployment_minimum_healthy_percent == 100
    error_message = "Nobody stops a busy task to move it."
  }
}

run "capacity_is_mixed" {
  assert {
    condition = { for strategy in aws_ecs_service.worker.capacity_provider_strategy : strategy.capacity_provider => [coalesce(strategy.base, 0), strategy.weight] } == {
      FARGATE      = [1, 1]
      FARGATE_SPOT = [0, 4]
    }
    error_message = "One task on demand, and of the others four in five on Spot."
  }
}

run "own_network_with_public_addresses" {
  assert {
    condition = (
      length(aws_vpc.own) == 1 && length(aws_subnet.public) == 3 && length(aws_nat_gateway.own) == 0 && length(aws_subnet.private) == 0
      && aws_ecs_service.worker.network_configuration[0].assign_public_ip
    )
    error_message = "By default tasks go out with addresses of their own and no NAT gateway is paid for."
  }
  assert {
    condition     = keys(aws_vpc_endpoint.gateway) == ["dynamodb", "s3"] && alltrue([for each in aws_vpc_endpoint.gateway : each.vpc_endpoint_type == "Gateway"])
    error_message = "S3 and DynamoDB are reached through gateway endpoints."
  }
  assert {
    condition     = length(aws_security_group.tasks.ingress) == 0 && toset([for rule in aws_vpc_security_group_egress_rule.web : rule.from_port]) == toset([80, 443])
    error_message = "Nothing comes in, and only web ports go out."
  }
}

run "own_network_with_nat" {
  variables { egress = "nat" }
  assert {
    condition = (
      length(aws_nat_gateway.own) == 1 && length(aws_subnet.private) == 3 && !aws_ecs_service.worker.network_configuration[0].assign_public_ip
      && toset(local.subnet_ids) == toset(aws_subnet.private[*].id) && length(aws_vpc_endpoint.gateway["s3"].route_table_ids) == 2
    )
    error_message = "With nat, tasks are in private subnets and reach S3 past the gateway."
  }
}

run "china" {
  variables {
    interface_endpoints = ["sqs", "logs"]
    settings            = { ALLOWED_IMAGE_HOSTS = "*.cdn.example" }
    capacity            = { spot_weight = 0 }
    data_half = {
      environment    = "staging"
      region         = "cn-north-1"
      input_bucket   = "test-input"
      output_bucket  = "test-output"
      temp_bucket    = "test-temp"
      queue_name     = "test-queue"
      queue_url      = "https://sqs.cn-north-1.amazonaws.com.cn/123456789012/test-queue"
      queue_arn      = "arn:aws-cn:sqs:cn-north-1:123456789012:test-queue"
      dlq_name       = "test-dlq"
      dlq_url        = "https://sqs.cn-north-1.amazonaws.com.cn/123456789012/test-dlq"
      dlq_arn        = "arn:aws-cn:sqs:cn-north-1:123456789012:test-dlq"
      table_name     = "test-table"
      table_arn      = "arn:aws-cn:dynamodb:cn-north-1:123456789012:table/test-table"
      repository_url = "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/collage-worker"
      repository_arn = "arn:aws-cn:ecr:cn-north-1:123456789012:repository/collage-worker"
      key_arn        = "arn:aws-cn:kms:cn-north-1:123456789012:key/00000000-0000-0000-0000-000000000000"
    }
  }
  override_data {
    target = data.aws_partition.current
    values = { partition = "aws-cn", dns_suffix = "amazonaws.com.cn" }
  }
  assert {
    condition     = { for name, endpoint in aws_vpc_endpoint.interface : name => endpoint.service_name } == { sqs = "cn.com.amazonaws.cn-north-1.sqs", logs = "com.amazonaws.cn-north-1.logs" } && aws_vpc_endpoint.gateway["s3"].service_name == "com.amazonaws.cn-north-1.s3"
    error_message = "Some endpoints of China have another beginning than everywhere else, and some have not."
  }
  assert {
    condition = alltrue(flatten([
      for statement in local.task_statements : [for arn in flatten([statement.Resource]) : startswith(arn, "arn:aws-cn:")]
    ]))
    error_message = "Every ARN is China's."
  }
  assert {
    condition     = strcontains(aws_ecs_task_definition.worker.container_definitions, "test-temp.s3.cn-north-1.amazonaws.com.cn") && startswith(output.dashboard_url, "https://cn-north-1.console.amazonaws.cn/")
    error_message = "Hosts and the console are China's."
  }
}

run "what_organisations_ask_of_roles" {
  variables {
    role_path            = "/applications/"
    permissions_boundary = "arn:aws:iam::123456789012:policy/boundary"
  }
  assert {
    condition = alltrue([
      for role in [aws_iam_role.execution, aws_iam_role.task] :
      role.path == "/applications/" && role.permissions_boundary == "arn:aws:iam::123456789012:policy/boundary"
    ])
    error_message = "Every role is bounded, and lies where it should."
  }
}

run "interface_endpoints" {
  variables { interface_endpoints = ["sqs", "ecr.dkr"] }
  assert {
    condition = (
      { for name, endpoint in aws_vpc_endpoint.interface : name => endpoint.service_name } == { sqs = "com.amazonaws.us-east-1.sqs", "ecr.dkr" = "com.amazonaws.us-east-1.ecr.dkr" }
      && alltrue([for endpoint in aws_vpc_endpoint.interface : endpoint.private_dns_enabled && endpoint.security_group_ids == toset(aws_security_group.endpoints[*].id)])
      && aws_vpc_security_group_ingress_rule.endpoints[0].referenced_security_group_id == aws_security_group.tasks.id
    )
    error_message = "Each service that is named, under its usual name, from the tasks alone."
  }
}

run "zones_without_fargate_are_left_out" {
  variables { zones = 4 }
  override_data {
    target = data.aws_availability_zones.available
    values = { names = ["us-west-1a", "us-west-1c"] }
  }
  assert {
    condition     = contains(data.aws_availability_zones.available[0].exclude_zone_ids, "usw1-az2") && length(aws_subnet.public) == 2
    error_message = "There are as many zones as have Fargate."
  }
}

run "existing_network_with_its_own_name_servers" {
  variables {
    vpc_id      = "vpc-0123456789abcdef0"
    subnet_ids  = ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]
    dns_servers = ["10.0.0.2/32"]
  }
  assert {
    condition = {
      for rule in aws_vpc_security_group_egress_rule.dns : rule.ip_protocol => "${rule.cidr_ipv4}:${rule.from_port}"
    } == { udp = "10.0.0.2/32:53", tcp = "10.0.0.2/32:53" }
    error_message = "Tasks may ask the VPC's own name servers."
  }
}

run "existing_network" {
  variables {
    vpc_id     = "vpc-0123456789abcdef0"
    subnet_ids = ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]
  }
  assert {
    condition = (
      length(aws_vpc.own) == 0 && length(aws_subnet.public) == 0 && length(aws_vpc_endpoint.gateway) == 0
      && aws_security_group.tasks.vpc_id == "vpc-0123456789abcdef0"
      && aws_ecs_service.worker.network_configuration[0].subnets == toset(["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"])
    )
    error_message = "An existing VPC is used as it is."
  }
}
