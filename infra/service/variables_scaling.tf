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

variable "acceptable_latency_seconds" {
  description = "Seconds that a message may take from being sent to being done, once tasks run. Scaling aims at the backlog for each task that is done in this time; shorter makes tasks that idle more than they work (docs/scale.md)."
  type        = number
  default     = 900

  validation {
    condition     = var.acceptable_latency_seconds >= 60 && var.acceptable_latency_seconds <= 43200
    error_message = "acceptable_latency_seconds must be from 60 to 43200: scaling itself takes some minutes."
  }
}

variable "message_seconds" {
  description = "Measured seconds of one task that one message takes; a task that does four messages in 100 s takes 25. The dashboard shows it (\"Task seconds for a message\")."
  type        = number
  default     = 25

  validation {
    condition     = var.message_seconds > 0 && var.message_seconds <= var.acceptable_latency_seconds
    error_message = "message_seconds must be above 0 and not above acceptable_latency_seconds: a task cannot be faster than one message."
  }
}

variable "scheduled_minimums" {
  description = "Tasks that run at least, from a time on, by name: for example { morning = { schedule = \"cron(0 7 ? * MON-FRI *)\", min_tasks = 2 }, evening = { schedule = \"cron(0 19 ? * MON-FRI *)\", min_tasks = 0 } }."
  type = map(object({
    schedule  = string
    min_tasks = number
    timezone  = optional(string, "UTC")
  }))
  default = {}

  validation {
    condition     = alltrue([for each in values(var.scheduled_minimums) : can(regex("^(cron|rate|at)\\(.+\\)$", each.schedule))])
    error_message = "scheduled_minimums: each schedule must be cron(…), rate(…) or at(…), as Application Auto Scaling reads them."
  }

  validation {
    condition     = alltrue([for each in values(var.scheduled_minimums) : each.min_tasks >= 0 && each.min_tasks <= var.max_tasks && floor(each.min_tasks) == each.min_tasks])
    error_message = "scheduled_minimums: each min_tasks must be a whole number from 0 to max_tasks."
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
  description = "Tasks that always run on demand (base), the shares of on-demand and Spot among the others, and how many further tasks may run on demand where Spot has none (0: wait for Spot). spot_weight = 0 does without Spot, for regions that have none."
  type = object({
    on_demand_base   = optional(number, 1)
    on_demand_weight = optional(number, 1)
    spot_weight      = optional(number, 4)
    fallback_tasks   = optional(number, 20)
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
