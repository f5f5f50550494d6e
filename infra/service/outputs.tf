output "cluster_name" {
  description = "Name of the ECS cluster."
  value       = aws_ecs_cluster.main.name

  precondition {
    condition     = length(local.subnet_ids) >= 2
    error_message = "Give at least two subnets in different zones: Spot capacity of one zone runs out."
  }
}

output "service_name" {
  description = "Name of the ECS service."
  value       = aws_ecs_service.worker.name

  precondition {
    condition     = aws_ecs_service.worker.name == aws_ecs_cluster.main.name
    error_message = "The service must have its cluster's name: scripts/deploy.py looks for both under one."
  }
}

output "task_definition_arn" {
  description = "The revision that a deployment has to reach."
  value       = aws_ecs_task_definition.worker.arn

  precondition {
    condition     = startswith(aws_ecs_task_definition.worker.arn, "arn:")
    error_message = "The revision must be named by its ARN: the deployment compares it with what runs."
  }
}

output "image" {
  description = "The image that tasks run."
  value       = local.container.image

  precondition {
    condition     = endswith(local.container.image, coalesce(var.image_digest, ":${var.image_tag}"))
    error_message = "The image must be the one of image_digest, or of image_tag."
  }
}

output "deployment" {
  description = "What is deployed, as a roll-back needs it: the image, the commit of this code, and the variables that went with it."
  value = {
    image_tag    = var.image_tag
    image_digest = coalesce(var.image_digest, "-") == "-" ? "" : var.image_digest
    commit       = var.deployment_record.commit
    variables    = var.deployment_record.variables
  }

  precondition {
    condition     = var.image_digest != null || var.deployment_record.commit == ""
    error_message = "A deployment that is written down names its image by digest."
  }
}

output "log_group" {
  description = "Where the worker's logs and metrics go."
  value       = aws_cloudwatch_log_group.worker.name

  precondition {
    condition     = aws_cloudwatch_log_group.worker.retention_in_days > 0
    error_message = "Logs must end some day: 0 would keep and bill them for ever."
  }
}

output "dashboard_url" {
  description = "The dashboard in the console."
  value       = "https://${local.region}.${local.console}/cloudwatch/home?region=${local.region}#dashboards/dashboard/${aws_cloudwatch_dashboard.main.dashboard_name}"

  precondition {
    condition     = length(jsondecode(aws_cloudwatch_dashboard.main.dashboard_body).widgets) > 0
    error_message = "The dashboard must show something."
  }
}

output "alarm_topic_arn" {
  description = "The SNS topic that alarms are sent to; subscribe a chat or an on-call service here."
  value       = aws_sns_topic.alarms.arn

  precondition {
    condition     = length(aws_sns_topic.alarms.kms_master_key_id) > 0
    error_message = "The topic must be encrypted."
  }
}

output "export_security_group_id" {
  description = "The security group of the export from MySQL, which the database's own has to let in; null without one."
  value       = one(aws_security_group.export[*].id)

  precondition {
    condition     = length(aws_security_group.export) == length(aws_scheduler_schedule.export)
    error_message = "There is an export exactly where there is a group for it."
  }
}
