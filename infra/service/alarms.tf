# Each alarm has a heading in docs/runbook.md with its name; a test compares them.
locals {
  tell = [aws_sns_topic.alarms.arn]
  see = { for name in [
    "dlq-not-empty", "dlq-grows", "dlq-age", "oldest-message-age", "retention", "deaf", "silent", "below-desired", "error-ratio", "sandbox",
    "memory", "dependency-down", "throttles",
  ] : name => "${var.runbook_url}#${name}" }
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

# The alarm above stays where it is once it rang: this one rings for every growth after the first. Held messages count, or
# whoever looks into the queue (and hides its messages for a while) would ring it. The other way round, DIFF has no value
# for the first figure of a queue that slept: that is the other alarm's.
resource "aws_cloudwatch_metric_alarm" "dlq_grows" {
  alarm_name          = "${local.name}-dlq-grows"
  alarm_description   = "Further jobs failed for good. ${local.see["dlq-grows"]}"
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  evaluation_periods  = 3
  datapoints_to_alarm = 1 # three minutes without growth, and it can ring again
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.tell

  dynamic "metric_query" {
    for_each = { for id in ["dead", "dead_held"] : id => local.series[id] }

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
    id         = "held"
    expression = "dead + dead_held"
  }

  metric_query {
    id          = "grown"
    label       = "Dead letters more than a minute before"
    expression  = "DIFF(held)"
    return_data = true
  }
}

# Of a dead-letter queue this is the time since a message came there. What SQS itself moved ends 14 days after it was
# first sent, so the two thresholds of age have to be less than that together (variables_alarms.tf).
resource "aws_cloudwatch_metric_alarm" "dlq_age" {
  alarm_name          = "${local.name}-dlq-age"
  alarm_description   = "A dead letter has lain for over ${floor(var.thresholds.dlq_age / 86400)} days; SQS drops it in the end. ${local.see["dlq-age"]}"
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateAgeOfOldestMessage"
  dimensions          = local.dlq_dimensions
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 3
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.thresholds.dlq_age
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.tell
  ok_actions          = local.tell
}

# SQS drops a message after 14 days, without a dead letter.
resource "aws_cloudwatch_metric_alarm" "retention" {
  alarm_name          = "${local.name}-retention"
  alarm_description   = "A message has waited for over ${floor(var.thresholds.retention_age / 86400)} days; SQS drops it after 14. ${local.see["retention"]}"
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateAgeOfOldestMessage"
  dimensions          = local.queue_dimensions
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 3
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.thresholds.retention_age
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.tell
  ok_actions          = local.tell
}

# Tasks run, and nothing is heard of them, or nothing of the queue: whoever watches the other alarms watches nothing.
resource "aws_cloudwatch_metric_alarm" "silent" {
  alarm_name          = "${local.name}-silent"
  alarm_description   = "Tasks run, and there are no figures of them or of their queue. ${local.see["silent"]}"
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 1
  evaluation_periods  = 15
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.tell
  ok_actions          = local.tell

  dynamic "metric_query" {
    for_each = { for id in ["running", "said", "visible"] : id => local.series[id] }

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
    id          = "silent"
    label       = "Tasks run and say nothing"
    expression  = "IF((running > 0) AND ((FILL(said, 0) < 1) OR (FILL(visible, -1) < 0)), 1, 0)"
    return_data = true
  }
}

resource "aws_cloudwatch_metric_alarm" "below_desired" {
  alarm_name          = "${local.name}-below-desired"
  alarm_description   = "For ten minutes fewer tasks have run than are wanted. ${local.see["below-desired"]}"
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 1
  evaluation_periods  = 10
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.tell
  ok_actions          = local.tell

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
    expression  = local.missing # scaling_fallback.tf
    return_data = true
  }
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
  alarm_actions       = concat(local.tell, aws_appautoscaling_policy.fallback_out[*].arn) # no task at all may be for want of Spot
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
    expression  = "IF(images + errors >= ${var.thresholds.error_ratio_images}, errors / IF(images + errors > 0, images + errors, 1), 0)" # a creator emits both
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

resource "aws_cloudwatch_metric_alarm" "sandbox" {
  alarm_name          = "${local.name}-sandbox"
  alarm_description   = "A worker decodes strangers' files without seccomp. ${local.see["sandbox"]}"
  namespace           = local.metrics_namespace
  metric_name         = "SandboxSeccomp"
  dimensions          = local.worker_dimensions
  statistic           = "Minimum"
  period              = 60
  evaluation_periods  = 3
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.tell
  ok_actions          = local.tell
}

resource "aws_cloudwatch_metric_alarm" "dependency_down" {
  alarm_name          = "${local.name}-dependency-down"
  alarm_description   = "Workers have waited for a dependency for five minutes. ${local.see["dependency-down"]}"
  namespace           = local.metrics_namespace
  metric_name         = "DependencyDown"
  dimensions          = local.worker_dimensions
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 5
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.tell
  ok_actions          = local.tell
}
