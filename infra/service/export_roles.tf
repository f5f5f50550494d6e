# Three roles: what ECS needs to start the export (image, logs, the secret), what the export itself may do (write one
# object), and what the schedule may do (start just that task).
resource "aws_iam_role" "export_start" {
  count = local.export

  name                 = "${local.export_name}-start"
  path                 = var.role_path
  description          = "ECS: starts the export with the database's secret"
  assume_role_policy   = local.tasks_may_assume
  permissions_boundary = var.permissions_boundary
}

resource "aws_iam_role_policy" "export_start" {
  count = local.export

  name = "start-exports"
  role = aws_iam_role.export_start[0].id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(local.start_statements, [{
      Sid      = "ReadTheDatabasesSecret"
      Effect   = "Allow"
      Action   = "secretsmanager:GetSecretValue"
      Resource = local.export_secret
      }], var.mysql_export.secret_key_arn == null ? [] : [{
      Sid      = "DecryptTheDatabasesSecret"
      Effect   = "Allow"
      Action   = "kms:Decrypt"
      Resource = var.mysql_export.secret_key_arn
    }])
  })
}

resource "aws_iam_role" "export" {
  count = local.export

  name                 = local.export_name
  path                 = var.role_path
  description          = "The export: writes its manifest"
  assume_role_policy   = local.tasks_may_assume
  permissions_boundary = var.permissions_boundary
}

resource "aws_iam_role_policy" "export" {
  count = local.export

  name = "write-manifest"
  role = aws_iam_role.export[0].id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat([{
      Sid      = "WriteTheManifest"
      Effect   = "Allow"
      Action   = "s3:PutObject"
      Resource = "${local.bucket_arn.input}/${var.mysql_export.key}"
    }], var.data_half.bucket_key_arn == null ? [] : local.bucket_key_statements)
  })
}

resource "aws_iam_role" "export_schedule" {
  count = local.export

  name                 = "${local.export_name}-schedule"
  path                 = var.role_path
  description          = "EventBridge Scheduler: starts the export"
  permissions_boundary = var.permissions_boundary

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "scheduler.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
    }]
  })
}

resource "aws_iam_role_policy" "export_schedule" {
  count = local.export

  name = "start-the-task"
  role = aws_iam_role.export_schedule[0].id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "RunTheExport"
        Effect    = "Allow"
        Action    = "ecs:RunTask"
        Resource  = "arn:${local.partition}:ecs:${local.region}:${local.account}:task-definition/${local.export_name}:*"
        Condition = { ArnEquals = { "ecs:cluster" = aws_ecs_cluster.main.arn } }
      },
      {
        Sid       = "TagWhatItStarts"
        Effect    = "Allow"
        Action    = "ecs:TagResource"
        Resource  = "arn:${local.partition}:ecs:${local.region}:${local.account}:task/${local.name}/*"
        Condition = { StringEquals = { "ecs:CreateAction" = "RunTask" } }
      },
      {
        Sid       = "GiveTheTaskItsRoles"
        Effect    = "Allow"
        Action    = "iam:PassRole"
        Resource  = [aws_iam_role.export_start[0].arn, aws_iam_role.export[0].arn]
        Condition = { StringEquals = { "iam:PassedToService" = "ecs-tasks.amazonaws.com" } }
      },
    ]
  })
}
