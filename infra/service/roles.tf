locals {
  # Only tasks of this account may take the roles: no other customer's ECS can be talked into it.
  tasks_may_assume = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = {
        StringEquals = { "aws:SourceAccount" = local.account }
        ArnLike      = { "aws:SourceArn" = "arn:${local.partition}:ecs:${local.region}:${local.account}:*" }
      }
    }]
  })

  start_statements = [
    {
      Sid      = "PullImage"
      Effect   = "Allow"
      Action   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
      Resource = var.data_half.repository_arn
    },
    {
      Sid      = "LogInToRegistry"
      Effect   = "Allow"
      Action   = "ecr:GetAuthorizationToken"
      Resource = "*" # this action knows no resources
    },
    {
      Sid      = "WriteLogs"
      Effect   = "Allow"
      Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
      Resource = "${aws_cloudwatch_log_group.worker.arn}:*"
    },
  ]
}

# What ECS needs to start a task: the image, and somewhere to write logs to.
resource "aws_iam_role" "execution" {
  name               = "${local.name}-execution"
  path               = var.role_path
  description        = "ECS: pulls the worker's image and writes its logs"
  assume_role_policy = local.tasks_may_assume

  permissions_boundary = var.permissions_boundary
}

resource "aws_iam_role_policy" "execution" {
  name = "start-tasks"
  role = aws_iam_role.execution.id

  policy = jsonencode({ Version = "2012-10-17", Statement = local.start_statements })
}

# What the worker itself may do.
resource "aws_iam_role" "task" {
  name               = "${local.name}-task"
  path               = var.role_path
  description        = "The worker: its queue, buckets and table"
  assume_role_policy = local.tasks_may_assume

  permissions_boundary = var.permissions_boundary
}

resource "aws_iam_role_policy" "task" {
  name   = "do-batches"
  role   = aws_iam_role.task.id
  policy = jsonencode({ Version = "2012-10-17", Statement = local.task_statements })
}
