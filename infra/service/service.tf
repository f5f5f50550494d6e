resource "aws_ecs_service" "worker" {
  #checkov:skip=CKV_AWS_333:a million collages read about 5 TB, which a NAT gateway would bill at some $230; nothing can connect in (security_group.tf), and egress = "nat" is there for who wants it
  name             = local.name
  cluster          = aws_ecs_cluster.main.id
  task_definition  = aws_ecs_task_definition.worker.arn
  desired_count    = var.min_tasks
  platform_version = "LATEST"
  propagate_tags   = "SERVICE"

  enable_execute_command = var.execute_command

  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200
  availability_zone_rebalancing      = "DISABLED" # it would stop tasks in the middle of their work

  # Terraform could call a failed deployment a success once it is rolled back (provider issue #19519):
  # scripts/deploy.py waits, and looks at what runs.
  wait_for_steady_state = false

  # Another capacity_provider_strategy needs a new deployment; without this the provider replaces the whole service.
  force_new_deployment = true

  capacity_provider_strategy {
    capacity_provider = "FARGATE"
    base              = var.capacity.on_demand_base
    weight            = var.capacity.on_demand_weight
  }

  dynamic "capacity_provider_strategy" {
    for_each = var.capacity.spot_weight > 0 ? [var.capacity.spot_weight] : []

    content {
      capacity_provider = "FARGATE_SPOT"
      weight            = capacity_provider_strategy.value
    }
  }

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = local.subnet_ids
    security_groups  = [aws_security_group.tasks.id]
    assign_public_ip = var.egress == "public_ip"
  }

  lifecycle {
    ignore_changes = [desired_count] # scaling decides
  }

  # A first task that started without its way out or its rights would fail the first deployment, which has nothing to
  # roll back to.
  depends_on = [
    aws_ecs_cluster_capacity_providers.main,
    aws_iam_role_policy.execution,
    aws_iam_role_policy.task,
    aws_route_table_association.private,
    aws_route_table_association.public,
    aws_vpc_endpoint.gateway,
    aws_vpc_security_group_egress_rule.web,
  ]
}
