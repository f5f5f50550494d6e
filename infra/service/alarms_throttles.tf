locals {
  # DynamoDB publishes these only when they happen: for the table, and for each index under its own name.
  throttles = {
    table_writes  = { metric = "WriteThrottleEvents", dimensions = { TableName = var.data_half.table_name } }
    table_reads   = { metric = "ReadThrottleEvents", dimensions = { TableName = var.data_half.table_name } }
    status_writes = { metric = "WriteThrottleEvents", dimensions = { TableName = var.data_half.table_name, GlobalSecondaryIndexName = "status-date-index" } }
    batch_writes  = { metric = "WriteThrottleEvents", dimensions = { TableName = var.data_half.table_name, GlobalSecondaryIndexName = "batch-id-index" } }
  }
}

resource "aws_cloudwatch_metric_alarm" "throttles" {
  alarm_name          = "${local.name}-throttles"
  alarm_description   = "DynamoDB holds the workers back. ${local.see["throttles"]}"
  comparison_operator = "GreaterThanThreshold"
  threshold           = 100
  evaluation_periods  = 4
  datapoints_to_alarm = 3 # of four: the newest five minutes may lack figures, and then show the filler
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.tell
  ok_actions          = local.tell

  dynamic "metric_query" {
    for_each = local.throttles

    content {
      id = metric_query.key

      metric {
        namespace   = "AWS/DynamoDB"
        metric_name = metric_query.value.metric
        dimensions  = metric_query.value.dimensions
        stat        = "Sum"
        period      = 300
      }
    }
  }

  metric_query {
    id          = "throttles"
    label       = "Throttled requests in five minutes"
    expression  = join(" + ", [for id in sort(keys(local.throttles)) : "FILL(${id}, 0)"])
    return_data = true
  }
}
