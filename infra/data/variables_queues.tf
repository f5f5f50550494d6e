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
