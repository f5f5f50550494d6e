# Target tracking multiplies the tasks there are: from none it would never get anywhere (aws/copilot-cli #3376), and to
# none it takes a quarter of an hour. These two policies do both edges.
locals {
  # SQS publishes these together. FILL is for those that it leaves out; never for the waiting messages, or the newest
  # minute, which has no figures yet, would read as an empty queue.
  nobody = "(visible > 0) AND (FILL(in_flight, 0) + FILL(received, 0) + FILL(empty, 0) < 1)"

  # The first tasks for a backlog: what target tracking would ask for a few minutes later anyway.
  wake_steps = [
    { from = 0, to = 2 * local.messages_per_task, tasks = min(1, var.max_tasks) },
    { from = 2 * local.messages_per_task, to = 20 * local.messages_per_task, tasks = min(5, var.max_tasks) },
    { from = 20 * local.messages_per_task, to = null, tasks = min(20, var.max_tasks) },
  ]
}

resource "aws_appautoscaling_policy" "wake" {
  name               = "${local.name}-wake"
  policy_type        = "StepScaling"
  service_namespace  = aws_appautoscaling_target.tasks.service_namespace
  resource_id        = aws_appautoscaling_target.tasks.resource_id
  scalable_dimension = aws_appautoscaling_target.tasks.scalable_dimension

  # It adds, and never sets: whatever its alarm thinks it sees, it cannot end a task. While the cooldown lasts, what was
  # added counts as part of what is asked for, so an alarm that goes on adds nothing twice before the first tasks are up.
  step_scaling_policy_configuration {
    adjustment_type         = "ChangeInCapacity"
    metric_aggregation_type = "Maximum"
    cooldown                = 300

    dynamic "step_adjustment" {
      for_each = local.wake_steps

      content {
        metric_interval_lower_bound = step_adjustment.value.from
        metric_interval_upper_bound = step_adjustment.value.to
        scaling_adjustment          = step_adjustment.value.tasks
      }
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "wake" {
  alarm_name          = "${local.name}-wake"
  alarm_description   = "Messages wait and nobody asks for them: starts the first tasks. No cause for concern."
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  evaluation_periods  = 2 # a single minute of which SQS published only a part looks deserted, too
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_appautoscaling_policy.wake.arn]

  dynamic "metric_query" {
    for_each = { for id in ["visible", "in_flight", "received", "empty"] : id => local.series[id] }

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

  # That nobody is there is told by SQS itself: nothing is in flight and nobody has polled. Container Insights says
  # nothing at all of a service without tasks, and is late otherwise: seen through it, a busy fleet's newest minute would
  # look deserted.
  metric_query {
    id          = "waiting_for_nobody"
    label       = "Messages that wait while nobody polls"
    expression  = "IF(${local.nobody}, visible, 0)"
    return_data = true
  }
}

resource "aws_appautoscaling_policy" "rest" {
  name               = "${local.name}-rest"
  policy_type        = "StepScaling"
  service_namespace  = aws_appautoscaling_target.tasks.service_namespace
  resource_id        = aws_appautoscaling_target.tasks.resource_id
  scalable_dimension = aws_appautoscaling_target.tasks.scalable_dimension

  step_scaling_policy_configuration {
    adjustment_type         = "ExactCapacity"
    metric_aggregation_type = "Maximum"
    cooldown                = 60

    step_adjustment {
      metric_interval_upper_bound = 0
      scaling_adjustment          = var.min_tasks
    }
  }
}

# Nothing is lost if a message comes in between: a busy task protects itself, and one that has only just received hands
# back what it holds.
resource "aws_cloudwatch_metric_alarm" "rest" {
  alarm_name          = "${local.name}-rest"
  alarm_description   = "No message for ${var.idle_minutes} minutes: goes back to ${var.min_tasks} tasks. No cause for concern."
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  evaluation_periods  = var.idle_minutes
  treat_missing_data  = "ignore" # no figures are no reason to end tasks
  alarm_actions       = concat([aws_appautoscaling_policy.rest.arn], aws_appautoscaling_policy.fallback_in[*].arn)

  dynamic "metric_query" {
    for_each = { for id in ["visible", "in_flight", "delayed"] : id => local.series[id] }

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
    id          = "backlog"
    label       = "Messages waiting, in flight or delayed"
    expression  = "visible + in_flight + delayed"
    return_data = true
  }
}
