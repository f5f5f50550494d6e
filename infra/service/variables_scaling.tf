variable "min_tasks" {
  description = "Tasks that run when there is nothing to do. 0 costs nothing and starts the first batch up to 20 minutes late."
  type        = number
  default     = 0

  validation {
    condition     = var.min_tasks >= 0 && var.min_tasks <= var.max_tasks && floor(var.min_tasks) == var.min_tasks
    error_message = "min_tasks must be a whole number from 0 to max_tasks."
  }
}

variable "max_tasks" {
  description = "The most tasks at a time. The table's status index is what gives way next (docs/scale.md)."
  type        = number
  default     = 50

  validation {
    condition     = var.max_tasks >= 1 && var.max_tasks <= 50 && floor(var.max_tasks) == var.max_tasks
    error_message = "max_tasks must be a whole number from 1 to 50."
  }
}

variable "messages_per_task" {
  description = "Backlog per task that scaling aims at: messages waiting or in flight. A task works on four at a time, so 32 are about a quarter of an hour's work: less makes tasks that idle more than they work (docs/scale.md)."
  type        = number
  default     = 32

  validation {
    condition     = var.messages_per_task >= 1 && var.messages_per_task <= 1000
    error_message = "messages_per_task must be from 1 to 1000."
  }
}

variable "idle_minutes" {
  description = "Minutes without any message after which the service goes back to min_tasks."
  type        = number
  default     = 5

  validation {
    condition     = var.idle_minutes >= 3 && var.idle_minutes <= 60 && floor(var.idle_minutes) == var.idle_minutes
    error_message = "idle_minutes must be a whole number from 3 to 60: SQS's counts take a minute or two to be right."
  }
}

variable "capacity" {
  description = "Tasks that always run on demand (base), and the shares of on-demand and Spot among the others."
  type = object({
    on_demand_base   = optional(number, 1)
    on_demand_weight = optional(number, 1)
    spot_weight      = optional(number, 4)
  })
  default = {}

  validation {
    condition     = alltrue([for share in values(var.capacity) : share >= 0 && share <= 1000 && floor(share) == share])
    error_message = "capacity: each number must be a whole one from 0 to 1000."
  }

  validation {
    condition     = var.capacity.on_demand_weight + var.capacity.spot_weight > 0
    error_message = "capacity: at least one of on_demand_weight and spot_weight must be above 0."
  }
}
