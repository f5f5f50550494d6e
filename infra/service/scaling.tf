resource "aws_appautoscaling_target" "tasks" {
  service_namespace  = "ecs"
  resource_id        = "service/${aws_ecs_cluster.main.name}/${aws_ecs_service.worker.name}"
  scalable_dimension = "ecs:service:DesiredCount"
  min_capacity       = var.min_tasks
  max_capacity       = var.max_tasks

  # Scheduled minimums move min_capacity by day and by night, and an apply in between must not. Another min_tasks makes
  # the target anew, with its policies; the tasks run on meanwhile.
  lifecycle {
    ignore_changes       = [min_capacity]
    replace_triggered_by = [terraform_data.min_tasks]
  }

  # scripts/deploy.py suspends scale-in while it proves a revision. Were it killed then, the next apply lets it go again.
  suspended_state {
    dynamic_scaling_in_suspended  = false
    dynamic_scaling_out_suspended = false
    scheduled_scaling_suspended   = false
  }
}

resource "terraform_data" "min_tasks" {
  input = var.min_tasks
}

resource "aws_appautoscaling_scheduled_action" "minimum" {
  for_each = var.scheduled_minimums

  name               = "${local.name}-${each.key}"
  service_namespace  = aws_appautoscaling_target.tasks.service_namespace
  resource_id        = aws_appautoscaling_target.tasks.resource_id
  scalable_dimension = aws_appautoscaling_target.tasks.scalable_dimension
  schedule           = each.value.schedule
  timezone           = each.value.timezone

  scalable_target_action {
    min_capacity = each.value.min_tasks
    max_capacity = var.max_tasks
  }
}

locals {
  # How many messages a task does in the time that one may take. AWS calls it the acceptable backlog for each instance.
  messages_per_task = max(1, floor(var.acceptable_latency_seconds / var.message_seconds))

  # In-flight messages count: with the waiting ones alone, the last messages would be taken and their tasks ended.
  # No task shows as being on target: nothing is divided by zero, and from none the wake policy starts
  # (scaling_edges.tf). A minute that lacks a figure gives no point, so nothing is scaled on a guess. It is not FILLed:
  # Container Insights is a minute or two behind SQS, so the newest minutes would always show the filler, and an alarm
  # that wants three points in a row would never go off. scripts/scale_policy.py simulates this very formula.
  backlog_per_task = "IF(tasks > 0, (visible + in_flight) / IF(tasks > 0, tasks, 1), ${local.messages_per_task})"
}

# 1 → max_tasks → 1: as many tasks as backlog / local.messages_per_task. Out after three minutes above the target, in after
# fifteen below nine tenths of it: both are how AWS does target tracking.
resource "aws_appautoscaling_policy" "backlog_per_task" {
  name               = "${local.name}-backlog-per-task"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.tasks.service_namespace
  resource_id        = aws_appautoscaling_target.tasks.resource_id
  scalable_dimension = aws_appautoscaling_target.tasks.scalable_dimension

  target_tracking_scaling_policy_configuration {
    target_value       = local.messages_per_task
    disable_scale_in   = false
    scale_out_cooldown = 180 # the figures have to show the last step before the next one
    scale_in_cooldown  = 120

    customized_metric_specification {
      dynamic "metrics" {
        for_each = { for id in ["visible", "in_flight", "tasks"] : id => local.series[id] }

        content {
          id          = metrics.key
          label       = metrics.value.metric
          return_data = false

          metric_stat {
            stat = metrics.value.stat

            metric {
              namespace   = metrics.value.namespace
              metric_name = metrics.value.metric

              dynamic "dimensions" {
                for_each = metrics.value.dimensions

                content {
                  name  = dimensions.key
                  value = dimensions.value
                }
              }
            }
          }
        }
      }

      metrics {
        id          = "backlog_per_task"
        label       = "Messages waiting or in flight for each task"
        expression  = local.backlog_per_task
        return_data = true
      }
    }
  }
}
