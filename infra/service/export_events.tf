# An export that fails writes no manifest, and nothing else would tell: the queue stays empty.
resource "aws_cloudwatch_event_rule" "export_failed" {
  count = local.export

  name        = "${local.name}-export-failed"
  description = "The export from MySQL ended with an error, or could not be started"

  event_pattern = jsonencode({
    source      = ["aws.ecs"]
    detail-type = ["ECS Task State Change"]
    detail = {
      clusterArn = [aws_ecs_cluster.main.arn]
      group      = ["family:${local.export_name}"]
      lastStatus = ["STOPPED"]
      "$or"      = [{ containers = { exitCode = [{ "anything-but" = [0] }] } }, { stopCode = ["TaskFailedToStart"] }]
    }
  })
}

resource "aws_cloudwatch_event_target" "export_failed" {
  count = local.export

  rule = aws_cloudwatch_event_rule.export_failed[0].name
  arn  = aws_sns_topic.alarms.arn

  input_transformer {
    input_paths    = { reason = "$.detail.stoppedReason", task = "$.detail.taskArn", time = "$.time" }
    input_template = "\"${local.name}: the export from MySQL failed at <time>: <reason> (<task>). What to do: ${var.runbook_url}#export-failed\""
  }
}
