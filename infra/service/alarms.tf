# Each alarm has a heading in docs/runbook.md with its name; a test compares them.
locals {
  tell = [aws_sns_topic.alarms.arn]
  see  = { for name in ["dlq-not-empty", "oldest-message-age", "deaf", "error-ratio", "memory", "throttles"] : name => "${var.runbook_url}#${name}" }
}

resource "aws_cloudwatch_metric_alarm" "dlq_not_empty" {
  alarm_name          = "${local.name}-dlq-not-empty"
  alarm_description   = "Jobs failed for good. ${local.see["dlq-not-empty"]}"
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible" # messages that SQS moved itself are in no count of sent ones
  dimensions          = { QueueName = var.data_half.dlq_name }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching" # SQS says nothing of a queue that slept for six hours
  alarm_actions       = local.tell
  ok_actions          = local.tell
}

resource "aws_cloudwatch_metric_alarm" "oldest_message_age" {
  alarm_name          = "${local.name}-oldest-message-age"
  alarm_description   = "A message has waited for over ${var.thresholds.oldest_message_age} s. ${local.see["oldest-message-age"]}"
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateAgeOfOldestMessage"
  dimensions          = local.queue_dimensions
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 2
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.thresholds.oldest_message_age
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.tell
  ok_actions          = local.tell
}

# Messages wait, nobody works on any, and nobody asks: no task starts, or those that run have gone deaf. A worker with
# every slot taken does not poll either, but then messages are in flight.
resource "aws_cloudwatch_metric_alarm" "deaf" {
  alarm_name          = "${local.name}-deaf"
  alarm_description   = "Messages wait and no worker polls. ${local.see["deaf"]}"
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 1
  evaluation_periods  = 10 # a first task takes three to five minutes to start
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.tell
  ok_actions          = local.tell

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

  metric_query {
    id          = "deaf"
    label       = "Messages wait and nobody polls"
    expression  = "IF(${local.nobody}, 1, 0)" # scaling_edges.tf
    return_data = true
  }
}

resource "aws_cloudwatch_metric_alarm" "error_ratio" {
  alarm_name          = "${local.name}-error-ratio"
  alarm_description   = "Over ${var.thresholds.error_ratio * 100}% of images could not be used. ${local.see["error-ratio"]}"
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.thresholds.error_ratio
  evaluation_periods  = 3
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.tell
  ok_actions          = local.tell

  dynamic "metric_query" {
    for_each = { for id in ["images", "errors"] : id => local.series[id] }

    content {
      id = metric_query.key

      metric {
        namespace   = metric_query.value.namespace
        metric_name = metric_query.value.metric
        dimensions  = metric_query.value.dimensions
        stat        = metric_query.value.stat
        period      = 300
      }
    }
  }

  metric_query {
    id          = "error_ratio"
    label       = "Images that could not be used, of all"
    expression  = "IF(images + errors >= ${var.thresholds.error_ratio_images}, errors / (images + errors), 0)" # a creator emits both
    return_data = true
  }
}

resource "aws_cloudwatch_metric_alarm" "memory" {
  alarm_name          = "${local.name}-memory"
  alarm_description   = "A worker uses over ${var.thresholds.memory_percent}% of its memory. ${local.see["memory"]}"
  namespace           = local.metrics_namespace
  metric_name         = "MemoryUtilization"
  dimensions          = local.worker_dimensions
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 5
  datapoints_to_alarm = 3
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.thresholds.memory_percent
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.tell
  ok_actions          = local.tell
}
