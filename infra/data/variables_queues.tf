variable "queue_name" {
  description = "Name of the queue that jobs come from; null for tiktok-image-processing-queue-<environment>-<region>."
  type        = string
  default     = null

  validation {
    condition     = var.queue_name == null || can(regex("^[A-Za-z0-9_-]{1,80}$", var.queue_name))
    error_message = "queue_name must be 1 to 80 letters, digits, underscores or hyphens (a standard queue, not .fifo)."
  }
}

variable "dlq_name" {
  description = "Name of the dead-letter queue; null for tiktok-image-processing-dlq-<environment>-<region>."
  type        = string
  default     = null

  validation {
    condition     = var.dlq_name == null || (can(regex("^[A-Za-z0-9_-]{1,80}$", var.dlq_name)) && var.dlq_name != var.queue_name)
    error_message = "dlq_name must be 1 to 80 letters, digits, underscores or hyphens, and not the queue's own name."
  }
}

variable "python" {
  description = "A Python with boto3, which sets the queues' largest message; null for the repository's .venv (make setup)."
  type        = string
  default     = null

  validation {
    condition     = var.python == null || try(length(var.python) > 0, false)
    error_message = "python must be a command, or null."
  }
}

variable "queue_policy_statements" {
  description = "Further statements for the policy of the job queue, each with Sid, Effect, Principal and Action, without Resource: for an SNS topic, an EventBridge rule or another account that sends jobs."
  type        = any
  default     = []

  validation {
    condition     = alltrue([for each in var.queue_policy_statements : can(each.Sid) && can(each.Principal) && can(each.Action) && contains(["Allow", "Deny"], try(each.Effect, ""))])
    error_message = "queue_policy_statements: each needs Sid, Effect (Allow or Deny), Principal and Action. Resource is the queue."
  }

  validation {
    condition     = !anytrue([for each in var.queue_policy_statements : try(each.Effect, "") == "Allow" && contains(["*", jsonencode({ AWS = "*" })], try(tostring(each.Principal), jsonencode(each.Principal))) && !can(each.Condition)])
    error_message = "queue_policy_statements: a statement that allows everybody (*) needs a Condition: anybody could send jobs otherwise."
  }
}

variable "input_events" {
  description = "How the queue is told of manifests: s3 (the bucket notifies it) or eventbridge (the bucket tells EventBridge, whose rule tells the queue; others can subscribe, too; $1 for a million events)."
  type        = string
  default     = "s3"

  validation {
    condition     = contains(["s3", "eventbridge"], var.input_events)
    error_message = "input_events must be s3 or eventbridge."
  }
}
