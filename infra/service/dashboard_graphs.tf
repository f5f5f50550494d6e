locals {
  of_queue   = ["QueueName", var.data_half.queue_name]
  of_dlq     = ["QueueName", var.data_half.dlq_name]
  of_worker  = ["Service", local.worker_dimensions.Service]
  of_service = ["ClusterName", aws_ecs_cluster.main.name, "ServiceName", aws_ecs_service.worker.name]

  # Dollars for an hour of a task; the weights say how often it is a Spot one.
  spot_share = var.capacity.spot_weight / (var.capacity.spot_weight + var.capacity.on_demand_weight)
  task_hour = (
    (var.cpu / 1024 * var.prices.vcpu_hour + var.memory / 1024 * var.prices.gib_hour) * (1 - local.spot_share * var.prices.spot_discount)
    + (var.egress == "public_ip" ? var.prices.ipv4_hour : 0)
  )
  cost_of_a_thousand = "1000 * tasks * ${format("%.8f", local.task_hour / 60)} / made + ${format("%.4f", var.prices.requests_a_thousand)}" # no point where nothing was made

  # A message of a large batch is a chunk of so many creators.
  creators_per_message = tonumber(lookup(var.settings, "CHUNK_CREATORS", "50"))

  graphs = [
    {
      title = "Backlog and in flight", unit = "messages"
      metrics = [
        concat(["AWS/SQS", "ApproximateNumberOfMessagesVisible"], local.of_queue, [{ label = "waiting", stat = "Maximum" }]),
        concat(["AWS/SQS", "ApproximateNumberOfMessagesNotVisible"], local.of_queue, [{ label = "in flight", stat = "Maximum" }]),
        concat(["AWS/SQS", "ApproximateNumberOfMessagesVisible"], local.of_dlq, [{ label = "dead letters", stat = "Maximum" }]),
      ]
    },
    {
      title = "Tasks", unit = "tasks"
      metrics = [
        concat(["ECS/ContainerInsights", "RunningTaskCount"], local.of_service, [{ label = "running", stat = "Average" }]),
        concat(["ECS/ContainerInsights", "DesiredTaskCount"], local.of_service, [{ label = "desired", stat = "Average" }]),
      ]
    },
    {
      title = "Age of the oldest message", unit = "seconds"
      metrics = [
        concat(["AWS/SQS", "ApproximateAgeOfOldestMessage"], local.of_queue, [{ label = "oldest message", stat = "Maximum" }]),
      ]
    },
    {
      title = "Creators and collages a minute", unit = "a minute"
      metrics = [
        concat([local.metrics_namespace, "ProcessingDuration"], local.of_worker, [{ label = "creators", stat = "SampleCount" }]),
        concat([local.metrics_namespace, "CollagesWritten"], local.of_worker, [{ label = "collages", stat = "Sum" }]),
      ]
    },
    {
      title = "Images a minute", unit = "a minute"
      metrics = [
        concat([local.metrics_namespace, "ImagesProcessed"], local.of_worker, [{ label = "used", stat = "Sum" }]),
        concat([local.metrics_namespace, "ErrorCount"], local.of_worker, [{ label = "not usable", stat = "Sum" }]),
      ]
    },
    {
      title = "Downloads", unit = "bytes a minute"
      metrics = [
        concat([local.metrics_namespace, "BytesDownloaded"], local.of_worker, [{ label = "bytes", stat = "Sum" }]),
      ]
    },
    {
      title = "Download latency", unit = "seconds"
      metrics = [
        for stat in ["p50", "p90", "p99"] :
        concat([local.metrics_namespace, "DownloadLatency"], local.of_worker, [{ label = stat, stat = stat }])
      ]
    },
    {
      title = "Seconds for a creator, and in the queue", unit = "seconds"
      metrics = concat(
        [
          for stat in ["p50", "p99"] :
          concat([local.metrics_namespace, "ProcessingDuration"], local.of_worker, [{ label = "creator ${stat}", stat = stat }])
        ],
        [
          for stat in ["p50", "p99"] :
          concat([local.metrics_namespace, "QueueDelay"], local.of_worker, [{ label = "queue ${stat}", stat = stat }])
        ],
      )
    },
    {
      title = "Memory", unit = "percent"
      metrics = [
        for stat in ["Maximum", "Average"] :
        concat([local.metrics_namespace, "MemoryUtilization"], local.of_worker, [{ label = lower(stat), stat = stat }])
      ]
    },
    {
      title = "What confines decoders (1: it holds)", unit = "holds"
      metrics = [
        for name in ["SandboxSeccomp", "SandboxNamespaces", "SandboxLandlock"] :
        concat([local.metrics_namespace, name], local.of_worker, [{ label = lower(trimprefix(name, "Sandbox")), stat = "Minimum" }])
      ]
    },
    {
      title = "Dependencies that refuse (0: all answer)", unit = "dependencies"
      metrics = [
        concat([local.metrics_namespace, "DependencyDown"], local.of_worker, [{ label = "most of a worker", stat = "Maximum" }]),
      ]
    },
    {
      title = "Throttled requests", unit = "a minute"
      metrics = [
        for id, throttle in local.throttles :
        concat(["AWS/DynamoDB", throttle.metric], flatten([for name, value in throttle.dimensions : [name, value]]), [{ label = id, stat = "Sum" }])
      ]
    },
    {
      title = "Dollars for a thousand collages (compute and requests)", unit = "dollars"
      metrics = [
        [{ expression = local.cost_of_a_thousand, label = "dollars", id = "cost" }],
        concat(["ECS/ContainerInsights", "RunningTaskCount"], local.of_service, [{ id = "tasks", stat = "Average", visible = false }]),
        concat([local.metrics_namespace, "CollagesWritten"], local.of_worker, [{ id = "made", stat = "Sum", visible = false }]),
      ]
    },
    {
      title = "Task seconds for a message (${local.creators_per_message} creators): the variable message_seconds", unit = "seconds"
      metrics = [
        [{ expression = "IF(creators > 0, 60 * tasks * ${local.creators_per_message} / creators)", label = "task seconds", id = "took" }],
        concat(["ECS/ContainerInsights", "RunningTaskCount"], local.of_service, [{ id = "tasks", stat = "Average", visible = false }]),
        concat([local.metrics_namespace, "ProcessingDuration"], local.of_worker, [{ id = "creators", stat = "SampleCount", visible = false }]),
      ]
    },
    {
      title = "Polls", unit = "a minute"
      metrics = [
        concat(["AWS/SQS", "NumberOfMessagesReceived"], local.of_queue, [{ label = "messages received", stat = "Sum" }]),
        concat(["AWS/SQS", "NumberOfEmptyReceives"], local.of_queue, [{ label = "empty polls", stat = "Sum" }]),
      ]
    },
  ]
}
