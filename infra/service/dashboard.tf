# Three graphs a row: first what comes in and goes out, then how well, then why not.
resource "aws_cloudwatch_dashboard" "main" {
  dashboard_name = local.name

  dashboard_body = jsonencode({
    widgets = concat(
      [
        for position, widget in local.graphs : {
          type   = "metric"
          x      = (position % 3) * 8
          y      = floor(position / 3) * 6
          width  = 8
          height = 6
          properties = {
            title   = widget.title
            region  = local.region
            view    = "timeSeries"
            stacked = false
            period  = 60
            metrics = widget.metrics
            yAxis   = { left = { min = 0, label = widget.unit, showUnits = false } }
          }
        }
      ],
      [
        {
          type   = "log"
          x      = 0
          y      = 6 * ceil(length(local.graphs) / 3)
          width  = 24
          height = 6
          properties = {
            title  = "Failures by reason"
            region = local.region
            view   = "timeSeries"
            query  = "SOURCE '${aws_cloudwatch_log_group.worker.name}' | filter event = \"creator.finished\" | stats ${local.failures_by_reason} by bin(5m)"
          }
        }
      ],
    )
  })
}
