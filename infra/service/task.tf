locals {
  container = {
    name                   = "worker"
    image                  = var.image_digest == null ? "${var.data_half.repository_url}:${var.image_tag}" : "${var.data_half.repository_url}@${var.image_digest}"
    essential              = true
    memory                 = var.memory # without it the cgroup shows no limit on Fargate, and the worker would guess
    command                = ["run"]
    environment            = [for name in sort(keys(local.environment)) : { name = name, value = local.environment[name] }]
    readonlyRootFilesystem = !var.execute_command # ECS Exec writes its agent into the container
    user                   = "10001"
    stopTimeout            = 120
    versionConsistency     = "enabled"

    linuxParameters = {
      initProcessEnabled = true # reaps decoder processes and passes signals on
      capabilities       = { drop = ["ALL"] }
    }

    mountPoints = [{ sourceVolume = "tmp", containerPath = "/tmp", readOnly = false }]

    # ECS does not read the image's own HEALTHCHECK: it is said again here, and a test compares the two.
    healthCheck = {
      command     = ["CMD", "python", "-IS", "/app/docker/healthcheck.py"]
      interval    = 10
      timeout     = 5
      retries     = 3
      startPeriod = 30
    }

    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = aws_cloudwatch_log_group.worker.name
        awslogs-region        = local.region
        awslogs-stream-prefix = "worker"
        mode                  = "non-blocking" # a log service that stalls must not stall heartbeats
        max-buffer-size       = "25m"
      }
    }
  }
}

resource "aws_ecs_task_definition" "worker" {
  family                   = local.name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.cpu
  memory                   = var.memory
  execution_role_arn       = aws_iam_role.execution.arn
  task_role_arn            = aws_iam_role.task.arn
  container_definitions    = jsonencode([local.container])
  track_latest             = false

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.cpu_architecture # Pillow-SIMD is compiled for AVX2, on X86_64 only
  }

  # The task's ephemeral storage: Fargate has no tmpfs, and manifests are sorted on disk. The image declares
  # VOLUME /tmp, which is what gives the empty volume the mode of /tmp (1777) instead of root's.
  volume {
    name = "tmp"
  }

  dynamic "ephemeral_storage" {
    for_each = var.ephemeral_storage_gib[*]

    content {
      size_in_gib = ephemeral_storage.value
    }
  }

  # Roll-back goes to an earlier revision, which must not be gone then.
  skip_destroy = true
}
