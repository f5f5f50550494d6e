locals {
  # Where the worker's own metrics are; worker/aws/emf.py declares them, and a test holds the names together. The
  # dimension is the deployment's name, so that no environment's alarms look at another's figures.
  metrics_namespace = "TikTokImageProcessor"
  worker_dimensions = { Service = local.name }

  queue_dimensions   = { QueueName = var.data_half.queue_name }
  dlq_dimensions     = { QueueName = var.data_half.dlq_name }
  service_dimensions = { ClusterName = aws_ecs_cluster.main.name, ServiceName = aws_ecs_service.worker.name }

  # What scaling and alarms look at. SQS publishes once a minute: the maximum is that one value, were it sent twice.
  series = {
    visible = {
      namespace = "AWS/SQS", metric = "ApproximateNumberOfMessagesVisible", stat = "Maximum", dimensions = local.queue_dimensions
    }
    in_flight = {
      namespace = "AWS/SQS", metric = "ApproximateNumberOfMessagesNotVisible", stat = "Maximum", dimensions = local.queue_dimensions
    }
    delayed = {
      namespace = "AWS/SQS", metric = "ApproximateNumberOfMessagesDelayed", stat = "Maximum", dimensions = local.queue_dimensions
    }
    received = {
      namespace = "AWS/SQS", metric = "NumberOfMessagesReceived", stat = "Sum", dimensions = local.queue_dimensions
    }
    empty = {
      namespace = "AWS/SQS", metric = "NumberOfEmptyReceives", stat = "Sum", dimensions = local.queue_dimensions
    }
    # What is wanted, not what runs: tasks take a minute to start, and dividing by those that run asks for the missing
    # ones again and again in the meantime (docs/scale.md has the figures).
    tasks = {
      namespace = "ECS/ContainerInsights", metric = "DesiredTaskCount", stat = "Average", dimensions = local.service_dimensions
    }
    running = {
      namespace = "ECS/ContainerInsights", metric = "RunningTaskCount", stat = "Average", dimensions = local.service_dimensions
    }
    dead = {
      namespace = "AWS/SQS", metric = "ApproximateNumberOfMessagesVisible", stat = "Maximum", dimensions = local.dlq_dimensions
    }
    dead_held = {
      namespace = "AWS/SQS", metric = "ApproximateNumberOfMessagesNotVisible", stat = "Maximum", dimensions = local.dlq_dimensions
    }
    # Every worker tells its memory each half a minute, whatever it does: a sign of life that is a metric.
    said = {
      namespace = local.metrics_namespace, metric = "MemoryUtilization", stat = "SampleCount", dimensions = local.worker_dimensions
    }
    images = {
      namespace = local.metrics_namespace, metric = "ImagesProcessed", stat = "Sum", dimensions = local.worker_dimensions
    }
    errors = {
      namespace = local.metrics_namespace, metric = "ErrorCount", stat = "Sum", dimensions = local.worker_dimensions
    }
  }
}
