# Scaling, alarms and what they say to whom.
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

run "limits" {
  assert {
    condition     = aws_appautoscaling_target.tasks.min_capacity == 0 && aws_appautoscaling_target.tasks.max_capacity == 50
    error_message = "From none to fifty tasks."
  }
  assert {
    condition     = aws_appautoscaling_target.tasks.scalable_dimension == "ecs:service:DesiredCount"
    error_message = "It is the service's count that moves."
  }
  assert {
    condition     = !anytrue(values(aws_appautoscaling_target.tasks.suspended_state[0]))
    error_message = "An apply ends what a deployment that was killed left suspended."
  }
}

run "backlog_per_task" {
  assert {
    condition = (
      aws_appautoscaling_policy.backlog_per_task.policy_type == "TargetTrackingScaling"
      && aws_appautoscaling_policy.backlog_per_task.target_tracking_scaling_policy_configuration[0].target_value == 36
      && !aws_appautoscaling_policy.backlog_per_task.target_tracking_scaling_policy_configuration[0].disable_scale_in
    )
    error_message = "Target tracking, at the 36 messages that a task does in a quarter of an hour, in both directions."
  }
  assert {
    condition = {
      for metric in aws_appautoscaling_policy.backlog_per_task.target_tracking_scaling_policy_configuration[0].customized_metric_specification[0].metrics :
      metric.id => metric.metric_stat[0].metric[0].metric_name if length(metric.metric_stat) > 0
      } == {
      visible   = "ApproximateNumberOfMessagesVisible"
      in_flight = "ApproximateNumberOfMessagesNotVisible"
      tasks     = "DesiredTaskCount"
    }
    error_message = "Messages waiting, messages in flight, and tasks."
  }
  assert {
    condition = [
      for metric in aws_appautoscaling_policy.backlog_per_task.target_tracking_scaling_policy_configuration[0].customized_metric_specification[0].metrics :
      metric.expression if metric.return_data
    ] == ["IF(tasks > 0, (visible + in_flight) / IF(tasks > 0, tasks, 1), 36)"]
    error_message = "The one figure looked at is the backlog for each task, without a division by zero. scripts/scale_policy.py simulates this very formula."
  }
  assert {
    condition = alltrue([
      for metric in aws_appautoscaling_policy.backlog_per_task.target_tracking_scaling_policy_configuration[0].customized_metric_specification[0].metrics :
      tomap({ for each in metric.metric_stat[0].metric[0].dimensions : each.name => each.value }) == (
        metric.id == "tasks" ? tomap({ ClusterName = "collage-worker-staging-us-east-1", ServiceName = "collage-worker-staging-us-east-1" }) : tomap({ QueueName = "test-queue" })
      ) if length(metric.metric_stat) > 0
    ])
    error_message = "The figures are those of this queue and this service."
  }
}

run "from_none_to_the_first" {
  assert {
    condition = toset([
      for step in aws_appautoscaling_policy.wake.step_scaling_policy_configuration[0].step_adjustment :
      "${step.metric_interval_lower_bound}-${step.metric_interval_upper_bound == null ? "" : step.metric_interval_upper_bound}: ${step.scaling_adjustment}"
    ]) == toset(["0-72: 1", "72-720: 5", "720-: 20"])
    error_message = "One task for a little, five for more, twenty for much."
  }
  assert {
    condition     = aws_appautoscaling_policy.wake.step_scaling_policy_configuration[0].adjustment_type == "ChangeInCapacity"
    error_message = "The wake adds and never sets: a minute that shows nothing but waiting messages cannot shrink a fleet."
  }
  assert {
    condition     = aws_appautoscaling_policy.wake.step_scaling_policy_configuration[0].cooldown >= 240
    error_message = "Until the first tasks are up, an alarm that goes on adds nothing twice."
  }
  assert {
    condition = (
      aws_cloudwatch_metric_alarm.wake.alarm_actions == toset([aws_appautoscaling_policy.wake.arn])
      && aws_cloudwatch_metric_alarm.wake.threshold == 0 && aws_cloudwatch_metric_alarm.wake.evaluation_periods == 2 && aws_cloudwatch_metric_alarm.wake.comparison_operator == "GreaterThanThreshold"
      && [for query in aws_cloudwatch_metric_alarm.wake.metric_query : query.expression if query.return_data == true] == [
        "IF((visible > 0) AND (FILL(in_flight, 0) + FILL(received, 0) + FILL(empty, 0) < 1), visible, 0)"
      ]
      && toset(flatten([for query in aws_cloudwatch_metric_alarm.wake.metric_query : [for metric in query.metric : metric.namespace]])) == toset(["AWS/SQS"])
    )
    error_message = "It wakes when messages wait, none is in flight and nobody polls, by SQS's own figures: another service's are late, and would look like a deserted queue."
  }
}

run "from_the_last_to_none" {
  assert {
    condition = (
      contains(aws_cloudwatch_metric_alarm.rest.alarm_actions, aws_appautoscaling_policy.rest.arn)
      && aws_cloudwatch_metric_alarm.rest.threshold == 1 && aws_cloudwatch_metric_alarm.rest.comparison_operator == "LessThanThreshold"
      && aws_cloudwatch_metric_alarm.rest.evaluation_periods == 5 && aws_cloudwatch_metric_alarm.rest.treat_missing_data == "ignore"
      && [for query in aws_cloudwatch_metric_alarm.rest.metric_query : query.expression if query.return_data == true] == ["visible + in_flight + delayed"]
    )
    error_message = "It rests when nothing has waited, been in flight or delayed for five minutes, and never for want of figures."
  }
  assert {
    condition     = [for step in aws_appautoscaling_policy.rest.step_scaling_policy_configuration[0].step_adjustment : step.scaling_adjustment] == [0]
    error_message = "Back to min_tasks."
  }
}

run "small_service_never_wakes_more_than_it_may" {
  variables {
    min_tasks = 1
    max_tasks = 2
  }
  assert {
    condition = (
      alltrue([for step in aws_appautoscaling_policy.wake.step_scaling_policy_configuration[0].step_adjustment : step.scaling_adjustment <= 2])
      && [for step in aws_appautoscaling_policy.rest.step_scaling_policy_configuration[0].step_adjustment : step.scaling_adjustment] == [1]
    )
    error_message = "The edges keep to min_tasks and max_tasks."
  }
}

run "alarms_tell_the_topic" {
  assert {
    condition = alltrue([
      for alarm in [
        aws_cloudwatch_metric_alarm.dlq_not_empty, aws_cloudwatch_metric_alarm.dlq_age, aws_cloudwatch_metric_alarm.oldest_message_age,
        aws_cloudwatch_metric_alarm.retention, aws_cloudwatch_metric_alarm.deaf, aws_cloudwatch_metric_alarm.silent,
        aws_cloudwatch_metric_alarm.below_desired, aws_cloudwatch_metric_alarm.error_ratio, aws_cloudwatch_metric_alarm.memory,
        aws_cloudwatch_metric_alarm.throttles,
      ] :
      contains(alarm.alarm_actions, aws_sns_topic.alarms.arn) && alarm.ok_actions == toset([aws_sns_topic.alarms.arn])
      && alarm.treat_missing_data == "notBreaching" && strcontains(alarm.alarm_description, "docs/runbook.md#")
    ])
    error_message = "Each alarm tells the topic when it begins and ends, points at the runbook, and is quiet without figures."
  }
  assert {
    condition = (
      aws_cloudwatch_metric_alarm.dlq_not_empty.metric_name == "ApproximateNumberOfMessagesVisible"
      && aws_cloudwatch_metric_alarm.dlq_not_empty.dimensions == tomap({ QueueName = "test-dlq" }) && aws_cloudwatch_metric_alarm.dlq_not_empty.threshold == 0
    )
    error_message = "One message in the dead-letter queue is enough, whoever moved it there."
  }
  assert {
    condition = {
      for statement in jsondecode(aws_sns_topic_policy.alarms.policy).Statement :
      statement.Principal.Service => try(statement.Condition.StringEquals["aws:SourceAccount"], "any account")
    } == { "cloudwatch.amazonaws.com" = "123456789012", "events.amazonaws.com" = "any account" }
    error_message = "Only this account's alarms may publish. EventBridge, too, but without a condition: with one, SNS drops its events."
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.deaf.evaluation_periods == 10 && [for query in aws_cloudwatch_metric_alarm.deaf.metric_query : query.expression if query.return_data == true] == ["IF((visible > 0) AND (FILL(in_flight, 0) + FILL(received, 0) + FILL(empty, 0) < 1), 1, 0)"]
    error_message = "Deaf: for ten minutes messages waited, none was in flight and nobody polled. The waiting ones are not FILLed: the newest minute has no figures yet."
  }
  assert {
    condition = alltrue([
      for alarm in [aws_cloudwatch_metric_alarm.wake, aws_cloudwatch_metric_alarm.rest, aws_cloudwatch_metric_alarm.deaf, aws_cloudwatch_metric_alarm.error_ratio] :
      alltrue([for query in alarm.metric_query : !strcontains(coalesce(query.expression, "-"), "FILL(visible") && !strcontains(coalesce(query.expression, "-"), "FILL(images")])
    ])
    error_message = "What an alarm is about is never filled in: the newest point would always be the filler."
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.throttles.datapoints_to_alarm < aws_cloudwatch_metric_alarm.throttles.evaluation_periods
    error_message = "DynamoDB's figures are sparse and have to be filled in, so the newest point must not decide."
  }
  assert {
    condition = (
      jsondecode(aws_cloudwatch_event_rule.service["deployment-failed"].event_pattern).detail.eventName == ["SERVICE_DEPLOYMENT_FAILED"]
      && contains(jsondecode(aws_cloudwatch_event_rule.service["placement-failed"].event_pattern).detail.eventName, "SERVICE_TASK_PLACEMENT_FAILURE")
      && alltrue([for rule in aws_cloudwatch_event_rule.service : length(jsondecode(rule.event_pattern).resources) == 2])
      && alltrue([for target in aws_cloudwatch_event_target.service : target.arn == aws_sns_topic.alarms.arn])
    )
    error_message = "Failed deployments and placements are told as well, of both services."
  }
  assert {
    condition = (
      aws_cloudwatch_metric_alarm.dlq_grows.datapoints_to_alarm == 1 && aws_cloudwatch_metric_alarm.dlq_grows.evaluation_periods == 3
      && aws_cloudwatch_metric_alarm.dlq_grows.alarm_actions == toset([aws_sns_topic.alarms.arn])
      && [for query in aws_cloudwatch_metric_alarm.dlq_grows.metric_query : query.expression if query.return_data == true] == ["DIFF(held)"]
    )
    error_message = "Dead letters after the first ring again."
  }
}

run "the_target_follows_from_latency_and_measured_time" {
  variables {
    acceptable_latency_seconds = 600
    message_seconds            = 60
  }
  assert {
    condition     = aws_appautoscaling_policy.backlog_per_task.target_tracking_scaling_policy_configuration[0].target_value == 10
    error_message = "Ten messages of a minute each are done in ten minutes."
  }
}

run "minimums_by_the_clock" {
  variables {
    scheduled_minimums = {
      morning = { schedule = "cron(0 7 ? * MON-FRI *)", min_tasks = 2, timezone = "Asia/Shanghai" }
      evening = { schedule = "cron(0 19 ? * MON-FRI *)", min_tasks = 0 }
    }
  }
  assert {
    condition = {
      for name, action in aws_appautoscaling_scheduled_action.minimum : name => "${action.schedule} ${action.timezone} ${action.scalable_target_action[0].min_capacity}-${action.scalable_target_action[0].max_capacity}"
      } == {
      morning = "cron(0 7 ? * MON-FRI *) Asia/Shanghai 2-50"
      evening = "cron(0 19 ? * MON-FRI *) UTC 0-50"
    }
    error_message = "Each minimum at its time, and the maximum stays."
  }
}

run "where_spot_has_nothing_some_run_on_demand" {
  assert {
    condition = (
      [for strategy in aws_ecs_service.on_demand[0].capacity_provider_strategy : strategy.capacity_provider] == ["FARGATE"]
      && aws_ecs_service.on_demand[0].desired_count == 0 && aws_ecs_service.on_demand[0].task_definition == aws_ecs_task_definition.worker.arn
      && aws_appautoscaling_target.on_demand[0].max_capacity == 20
    )
    error_message = "A second service, on demand, of the same tasks, and as a rule without any."
  }
  assert {
    condition = (
      aws_cloudwatch_metric_alarm.spot_short[0].alarm_actions == toset([aws_appautoscaling_policy.fallback_out[0].arn])
      && contains(aws_cloudwatch_metric_alarm.deaf.alarm_actions, aws_appautoscaling_policy.fallback_out[0].arn)
      && aws_appautoscaling_policy.fallback_out[0].step_scaling_policy_configuration[0].adjustment_type == "ChangeInCapacity"
    )
    error_message = "It begins when tasks are missing, or none runs at all."
  }
  assert {
    condition = (
      aws_cloudwatch_metric_alarm.spot_back[0].alarm_actions == toset([aws_appautoscaling_policy.fallback_in[0].arn])
      && contains(aws_cloudwatch_metric_alarm.rest.alarm_actions, aws_appautoscaling_policy.fallback_in[0].arn)
      && aws_cloudwatch_metric_alarm.spot_back[0].treat_missing_data == "ignore"
    )
    error_message = "It ends when Spot is back, or nothing is left to do."
  }
}

run "a_region_without_spot" {
  variables { capacity = { spot_weight = 0 } }
  assert {
    condition = (
      [for strategy in aws_ecs_service.worker.capacity_provider_strategy : strategy.capacity_provider] == ["FARGATE"]
      && aws_ecs_cluster_capacity_providers.main.capacity_providers == toset(["FARGATE"])
      && length(aws_ecs_service.on_demand) == 0 && length(aws_cloudwatch_metric_alarm.spot_short) == 0
    )
    error_message = "Spot is not so much as named, and there is nothing to fall back from."
  }
}

run "addresses_are_subscribed" {
  variables { alarm_emails = ["on-call@example.com"] }
  assert {
    condition     = keys(aws_sns_topic_subscription.email) == ["on-call@example.com"]
    error_message = "Whoever is named is subscribed."
  }
}
