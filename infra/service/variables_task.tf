variable "cpu" {
  description = "CPU units of a task; 1024 are one vCPU. One vCPU keeps four jobs of eight downloads busy."
  type        = number
  default     = 1024

  validation {
    condition     = contains([512, 1024, 2048, 4096], var.cpu)
    error_message = "cpu must be 512, 1024, 2048 or 4096."
  }
}

variable "memory" {
  description = "Memory of a task in MiB."
  type        = number
  default     = 2048

  validation {
    condition = (
      var.memory >= max(1024, var.cpu * 2) && var.memory <= min(var.cpu * 8, 30720) && var.memory % 1024 == 0
    )
    error_message = "memory must be whole GiB from 2 to 8 times the cpu units (at least 1024, at most 30720): what Fargate offers."
  }
}

variable "ephemeral_storage_gib" {
  description = "GiB of /tmp for a task; up to three times the largest manifest is needed. 20 come free; null takes those."
  type        = number
  default     = null

  validation {
    condition     = var.ephemeral_storage_gib == null || try(var.ephemeral_storage_gib >= 21 && var.ephemeral_storage_gib <= 200, false)
    error_message = "ephemeral_storage_gib must be from 21 to 200, or null for the 20 GiB that are free."
  }
}

variable "settings" {
  description = "Further settings of the worker by their environment names, for example { LOG_LEVEL = \"debug\" }."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for name in keys(var.settings) : contains(local.free_settings, name)])
    error_message = "settings may hold only the worker's own settings that this module does not set itself (see local.free_settings in task_environment.tf). Secrets have no place among them: the task's role is its credentials."
  }
}

variable "allowed_input_buckets" {
  description = "Buckets besides the input bucket that a job may name its manifest in."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for name in var.allowed_input_buckets : can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", name))])
    error_message = "allowed_input_buckets must be bucket names."
  }
}

variable "log_retention_days" {
  description = "Days that logs are kept."
  type        = number
  default     = 30

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731], var.log_retention_days)
    error_message = "log_retention_days must be a span that CloudWatch Logs offers: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545 or 731."
  }
}

variable "execute_command" {
  description = "Whether people may open a shell in a running task (ECS Exec). It needs a writable root file system and further rights of the task: leave it off but for a search."
  type        = bool
  default     = false

  validation {
    condition     = !(var.execute_command && var.data_half.environment == "production")
    error_message = "execute_command stays off in production: its tasks could be changed by hand. Look for it in staging."
  }
}

variable "cpu_architecture" {
  description = "X86_64, or ARM64: a fifth cheaper by the hour, but Pillow takes the place of Pillow-SIMD (docs/first-deployment.md has what that costs). The image is built for it."
  type        = string
  default     = "X86_64"

  validation {
    condition     = contains(["X86_64", "ARM64"], var.cpu_architecture)
    error_message = "cpu_architecture must be X86_64 or ARM64."
  }
}
