# `export-mysql` by the clock: a task that reads a database and puts a manifest where it starts a batch. It has a role, a
# way out and a definition of its own: the worker learns neither the database's address nor its password.
locals {
  export      = var.mysql_export == null ? 0 : 1
  export_name = "${local.name}-export-mysql"

  # A secret's ARN without the key of it that is asked for.
  export_secret = one([for export in var.mysql_export[*] : join(":", slice(split(":", export.secret_arn), 0, 7))])

  export_settings = merge(
    {
      for name in ["AWS_REGION", "INPUT_BUCKET", "EXPECTED_BUCKET_OWNER", "S3_KMS_KEY", "LOG_FORMAT", "TMPDIR", "DEFAULT_CREATOR_COLUMN", "DEFAULT_URL_COLUMN"] :
      name => local.environment[name] if contains(keys(local.environment), name)
    },
    { for export in var.mysql_export[*] : "MYSQL_CA" => export.ca if export.ca != null },
  )

  export_container = one([for export in var.mysql_export[*] : {
    name                   = "export-mysql"
    image                  = local.container.image
    essential              = true
    memory                 = 1024
    command                = ["export-mysql", "s3://${var.data_half.input_bucket}/${export.key}", "--query", export.query]
    environment            = [for name in sort(keys(local.export_settings)) : { name = name, value = local.export_settings[name] }]
    secrets                = [{ name = "MYSQL_URL", valueFrom = export.secret_arn }]
    readonlyRootFilesystem = true
    user                   = local.container.user
    versionConsistency     = "enabled"
    linuxParameters        = local.container.linuxParameters
    mountPoints            = local.container.mountPoints
    logConfiguration       = merge(local.container.logConfiguration, { options = merge(local.container.logConfiguration.options, { awslogs-stream-prefix = "export-mysql" }) })
  }])
}

resource "aws_ecs_task_definition" "export" {
  count = local.export

  family                   = local.export_name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = 512
  memory                   = 1024
  execution_role_arn       = aws_iam_role.export_start[0].arn
  task_role_arn            = aws_iam_role.export[0].arn
  container_definitions    = jsonencode([local.export_container])

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.cpu_architecture
  }

  volume {
    name = "tmp" # the manifest lies there until it is whole
  }
}

resource "aws_scheduler_schedule" "export" {
  #checkov:skip=CKV_AWS_297:the schedule holds the names of a cluster, a task definition and subnets, and nothing secret
  count = local.export

  name                         = local.export_name
  description                  = "Exports rows from MySQL as a manifest"
  schedule_expression          = var.mysql_export.schedule
  schedule_expression_timezone = var.mysql_export.timezone

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = aws_ecs_cluster.main.arn
    role_arn = aws_iam_role.export_schedule[0].arn

    ecs_parameters {
      task_definition_arn = aws_ecs_task_definition.export[0].arn
      launch_type         = "FARGATE" # on demand: an export that is ended half-way leaves nothing
      propagate_tags      = "TASK_DEFINITION"

      network_configuration {
        subnets          = local.subnet_ids
        security_groups  = aws_security_group.export[*].id
        assign_public_ip = var.egress == "public_ip"
      }
    }

    retry_policy {
      maximum_retry_attempts       = 10
      maximum_event_age_in_seconds = 3600
    }
  }
}

# To the database, and to AWS. The database's own group has to let this one in: the output export_security_group_id.
resource "aws_security_group" "export" {
  #checkov:skip=CKV2_AWS_5:the schedule gives it to the tasks that it starts, where checkov does not look
  count = local.export

  name_prefix = "${local.export_name}-"
  description = "Export from MySQL: out to the database and to AWS, nothing in"
  vpc_id      = local.vpc_id
  tags        = { Name = local.export_name }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_egress_rule" "export" {
  for_each = var.mysql_export == null ? {} : { database = { port = var.mysql_export.port, block = var.mysql_export.database_block }, aws = { port = 443, block = "0.0.0.0/0" } }

  security_group_id = aws_security_group.export[0].id
  description       = each.key == "database" ? "The database" : "AWS itself"
  ip_protocol       = "tcp"
  from_port         = each.value.port
  to_port           = each.value.port
  cidr_ipv4         = each.value.block
}

resource "aws_vpc_security_group_egress_rule" "export_dns" {
  for_each = var.mysql_export == null ? {} : aws_vpc_security_group_egress_rule.dns

  security_group_id = aws_security_group.export[0].id
  description       = "Name servers"
  ip_protocol       = each.value.ip_protocol
  from_port         = 53
  to_port           = 53
  cidr_ipv4         = each.value.cidr_ipv4
}
