# What ECS tells EventBridge alone, and no metric shows: a deployment that the circuit breaker gave up, and each task that
# could not be placed, started or configured.
locals {
  service_arns = concat([aws_ecs_service.worker.id], aws_ecs_service.on_demand[*].id)

  service_events = {
    deployment-failed = {
      description = "ECS gave a deployment of the worker up"
      detail_type = "ECS Deployment State Change"
      names       = ["SERVICE_DEPLOYMENT_FAILED"]
    }
    placement-failed = {
      description = "ECS could not place, start or configure a task of the worker"
      detail_type = "ECS Service Action"
      names = [
        "SERVICE_TASK_PLACEMENT_FAILURE", "SERVICE_TASK_START_IMPAIRED", "SERVICE_TASK_CONFIGURATION_FAILURE", "ECS_OPERATION_THROTTLED",
      ]
    }
  }
}

resource "aws_cloudwatch_event_rule" "service" {
  for_each = local.service_events

  name        = "${local.name}-${each.key}"
  description = each.value.description

  event_pattern = jsonencode({
    source      = ["aws.ecs"]
    detail-type = [each.value.detail_type]
    resources   = local.service_arns
    detail      = { eventName = each.value.names }
  })
}

resource "aws_cloudwatch_event_target" "service" {
  for_each = local.service_events

  rule = aws_cloudwatch_event_rule.service[each.key].name
  arn  = aws_sns_topic.alarms.arn

  # A mail that a person understands; the names of the fields are ECS's.
  input_transformer {
    input_paths = {
      event  = "$.detail.eventName"
      reason = "$.detail.reason"
      time   = "$.time"
    }
    input_template = "\"${local.name}: ${each.value.description} at <time>: <event> <reason>. What to do: ${var.runbook_url}#${each.key}\""
  }
}

moved {
  from = aws_cloudwatch_event_rule.deployment_failed
  to   = aws_cloudwatch_event_rule.service["deployment-failed"]
}

moved {
  from = aws_cloudwatch_event_target.deployment_failed
  to   = aws_cloudwatch_event_target.service["deployment-failed"]
}
