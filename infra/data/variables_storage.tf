variable "buckets" {
  description = "Names of the three buckets; those left out are called tiktok-image-input-<environment>-<region>-<account>, and so on."
  type = object({
    input  = optional(string)
    output = optional(string)
    temp   = optional(string)
  })
  default = {}

  validation {
    condition = alltrue([
      for name in values(var.buckets) : name == null || can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", name))
    ])
    error_message = "Each bucket name must be 3 to 63 lower-case letters, digits or hyphens (dots break TLS to the bucket)."
  }

  validation {
    condition     = length(distinct(compact(values(var.buckets)))) == length(compact(values(var.buckets)))
    error_message = "The three buckets must have three different names."
  }

  validation {
    condition     = !anytrue([for name in compact(values(var.buckets)) : strcontains(name, "example")])
    error_message = "buckets: a name with `example` in it is a placeholder, and somebody else's. Leave buckets out for names that are free, or give names of your own."
  }
}

variable "old_version_days" {
  description = "Days that overwritten or deleted objects of the input and output buckets can still be brought back."
  type        = number
  default     = 30

  validation {
    condition     = var.old_version_days >= 1 && var.old_version_days <= 365
    error_message = "old_version_days must be from 1 to 365."
  }
}

variable "access_log_bucket" {
  description = "An existing bucket that S3 writes access logs to; null for none. Each request becomes a log line there."
  type        = string
  default     = null

  validation {
    condition     = var.access_log_bucket == null || (can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.access_log_bucket)) && !strcontains(coalesce(var.access_log_bucket, "-"), "example"))
    error_message = "access_log_bucket must be the name of a bucket of yours (one with `example` in it is a placeholder), or null."
  }
}

variable "table_name" {
  description = "Name of the DynamoDB table with the state of creators and batches; null for tiktok-creator-processing-state-<environment>-<region>."
  type        = string
  default     = null

  validation {
    condition     = var.table_name == null || can(regex("^[A-Za-z0-9_.-]{3,255}$", var.table_name))
    error_message = "table_name must be 3 to 255 letters, digits, underscores, dots or hyphens."
  }
}

variable "deletion_protection" {
  description = "Whether DynamoDB refuses to delete the table. Switch it off and apply before a destroy that is meant."
  type        = bool
  default     = true

  validation {
    condition     = var.deletion_protection || var.environment != "production"
    error_message = "deletion_protection stays on in production."
  }
}
