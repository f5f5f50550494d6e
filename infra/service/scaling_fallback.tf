# Spot without capacity does not fall back to on-demand by itself (aws/containers-roadmap #773, #852): the service asks on
# for tasks that do not come. So a second service, on demand only and without any task as a rule, takes from the same
# queue while the first one is short, and ends its tasks when Spot is back or nothing is left to do.
locals {
  fallback = var.capacity.spot_weight > 0 && var.capacity.fallback_tasks > 0 ? 1 : 0

  # Desired tasks that do not run, by the first service's own figures.
  missing = "tasks - running"

  fallback_steps = [
    { from = 0, to = 4, tasks = 2 },
    { from = 4, to = 15, tasks = 5 },
    { from = 15, to = null, tasks = 10 },
  ]
}

resource "aws_ecs_service" "on_demand" {
  #checkov:skip=CKV_AWS_333:as the first service; see there
  count = local.fallback

  name                   = "${local.name}-on-demand"
  cluster                = aws_ecs_cluster.main.id
  task_definition        = aws_ecs_task_definition.worker.arn
  desired_count          = 0
  platform_version       = "LATEST"
  propagate_tags         = "SERVICE"
  enable_execute_command = var.execute_command

  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200
  availability_zone_rebalancing      = "DISABLED"
  wait_for_steady_state              = false
  force_new_deployment               = true

  capacity_provider_strategy {
    capacity_provider = "FARGATE"
    weight            = 1
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

  depends_on = [
    aws_ecs_cluster_capacity_providers.main,
    aws_iam_role_policy.execution,
    aws_iam_role_policy.task,
    aws_vpc_security_group_egress_rule.web,
  ]
}

resource "aws_appautoscaling_target" "on_demand" {
  count = local.fallback

  service_namespace  = "ecs"
  resource_id        = "service/${aws_ecs_cluster.main.name}/${aws_ecs_service.on_demand[0].name}"
  scalable_dimension = "ecs:service:DesiredCount"
  min_capacity       = 0
  max_capacity       = min(var.capacity.fallback_tasks, var.max_tasks)
}

resource "aws_appautoscaling_policy" "fallback_out" {
  count = local.fallback

  name               = "${local.name}-fallback-out"
  policy_type        = "StepScaling"
  service_namespace  = aws_appautoscaling_target.on_demand[0].service_namespace
  resource_id        = aws_appautoscaling_target.on_demand[0].resource_id
  scalable_dimension = aws_appautoscaling_target.on_demand[0].scalable_dimension

  step_scaling_policy_configuration {
    adjustment_type         = "ChangeInCapacity"
    metric_aggregation_type = "Maximum"
    cooldown                = 300

    dynamic "step_adjustment" {
      for_each = local.fallback_steps

      content {
        metric_interval_lower_bound = step_adjustment.value.from
        metric_interval_upper_bound = step_adjustment.value.to
        scaling_adjustment          = step_adjustment.value.tasks
      }
    }
  }
}

resource "aws_appautoscaling_policy" "fallback_in" {
  count = local.fallback

  name               = "${local.name}-fallback-in"
  policy_type        = "StepScaling"
  service_namespace  = aws_appautoscaling_target.on_demand[0].service_namespace
  resource_id        = aws_appautoscaling_target.on_demand[0].resource_id
  scalable_dimension = aws_appautoscaling_target.on_demand[0].scalable_dimension

  step_scaling_policy_configuration {
    adjustment_type         = "ExactCapacity"
    metric_aggregation_type = "Maximum"
    cooldown                = 60

    step_adjustment {
      metric_interval_upper_bound = 0
      scaling_adjustment          = 0
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "spot_short" {
  count = local.fallback

  alarm_name          = "${local.name}-spot-short"
  alarm_description   = "Tasks are wanted that do not start: starts some on demand. No cause for concern by itself."
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 1
  evaluation_periods  = 5
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_appautoscaling_policy.fallback_out[0].arn]

  dynamic "metric_query" {
    for_each = { for id in ["tasks", "running"] : id => local.series[id] }

    content {
      id = metric_query.key

      metric {
        namespace   = metric_query.value.namespace
        metric_name = metric_query.value.metric
        dimensions  = metric_query.value.dimensions
        stat        = metric_query.value.stat
        period      = 60
      }
    }
  }

  metric_query {
    id          = "missing"
    label       = "Tasks wanted that do not run"
    expression  = local.missing
    return_data = true
  }
}

resource "aws_cloudwatch_metric_alarm" "spot_back" {
  count = local.fallback

  alarm_name          = "${local.name}-spot-back"
  alarm_description   = "Every task that is wanted runs again: ends those that were started on demand instead. No cause for concern."
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  evaluation_periods  = 15
  treat_missing_data  = "ignore" # no figures are no reason to end tasks
  alarm_actions       = [aws_appautoscaling_policy.fallback_in[0].arn]

  dynamic "metric_query" {
    for_each = { for id in ["tasks", "running"] : id => local.series[id] }

    content {
      id = metric_query.key

      metric {
        namespace   = metric_query.value.namespace
        metric_name = metric_query.value.metric
        dimensions  = metric_query.value.dimensions
        stat        = metric_query.value.stat
        period      = 60
      }
    }
  }

  metric_query {
    id          = "missing"
    label       = "Tasks wanted that do not run"
    expression  = local.missing
    return_data = true
  }
}
