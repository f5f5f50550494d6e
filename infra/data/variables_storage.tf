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

variable "bucket_encryption" {
  description = "How the buckets and the worker encrypt objects: AES256 (S3's own key) or aws:kms (the deployment's key, with bucket keys). With aws:kms other accounts and people need kms:Decrypt on the key to read collages, and whoever drops manifests kms:GenerateDataKey."
  type        = string
  default     = "AES256"

  validation {
    condition     = contains(["AES256", "aws:kms"], var.bucket_encryption)
    error_message = "bucket_encryption must be AES256 or aws:kms."
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

variable "bucket_policy_statements" {
  description = "Further statements for the buckets' policies, by bucket (input, output, temp): each with Sid, Effect, Principal and Action, without Resource. For example another account that drops manifests or reads collages."
  type        = any
  default     = {}

  validation {
    condition     = alltrue([for name in keys(var.bucket_policy_statements) : contains(["input", "output", "temp"], name)])
    error_message = "bucket_policy_statements: the buckets are input, output and temp."
  }

  validation {
    condition = alltrue(flatten([
      for statements in values(var.bucket_policy_statements) : [
        for each in statements : can(each.Sid) && can(each.Principal) && can(each.Action) && contains(["Allow", "Deny"], try(each.Effect, ""))
      ]
    ]))
    error_message = "bucket_policy_statements: each needs Sid, Effect (Allow or Deny), Principal and Action. Resource is the bucket and its objects."
  }
}

variable "collage_lifecycle" {
  description = "What becomes of collages and results, by the beginnings of their keys: days until they move to STANDARD_IA, and until they are deleted; null for never. Links to what is deleted are dead."
  type = object({
    prefixes    = optional(set(string), ["collages/"])
    ia_days     = optional(number)
    expire_days = optional(number)
  })
  default = {}

  validation {
    condition     = coalesce(var.collage_lifecycle.ia_days, 30) >= 30 && coalesce(var.collage_lifecycle.expire_days, 36500) > coalesce(var.collage_lifecycle.ia_days, 0)
    error_message = "collage_lifecycle: ia_days must be at least 30, as S3 has it, and expire_days more than that."
  }

  validation {
    condition     = alltrue([for prefix in var.collage_lifecycle.prefixes : can(regex("^[^/].*/$", prefix))])
    error_message = "collage_lifecycle: each prefix must end in / and not begin with it. With an output_prefix of jobs: its text before collages/."
  }
}

variable "manual_upload_days" {
  description = "Days until manifests under manual-uploads/ are deleted; null keeps them. They stay where they are when their batch is done."
  type        = number
  default     = null

  validation {
    condition     = var.manual_upload_days == null || try(var.manual_upload_days >= 31, false)
    error_message = "manual_upload_days must be 31 or more (they move to STANDARD_IA after 30), or null."
  }
}
