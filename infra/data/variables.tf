variable "environment" {
  description = "Name of the environment, for example staging or production. Every name and tag carries it."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,13}[a-z0-9]$", var.environment))
    error_message = "environment must be 2 to 15 lower-case letters, digits or hyphens, beginning with a letter: longer, the names of buckets would not fit."
  }
}

variable "region" {
  description = "AWS region that everything is made in."
  type        = string
  default     = "us-east-1"

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region must be a region's code, for example us-east-1."
  }
}

variable "tags" {
  description = "Further tags for every resource, for example a cost centre."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for key in keys(var.tags) : !startswith(lower(key), "aws:")])
    error_message = "tags must not begin with aws:, which AWS keeps for itself."
  }
}

variable "force_destroy" {
  description = "Whether destroying also deletes what the buckets, the table and the registry hold. Never in production."
  type        = bool
  default     = false

  validation {
    condition     = !(var.force_destroy && var.environment == "production")
    error_message = "force_destroy is refused in production: it would let one command delete every collage."
  }
}

variable "allowed_account_ids" {
  description = "AWS accounts that this may be made in; with other credentials Terraform stops before it changes anything. Empty: any."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for id in var.allowed_account_ids : can(regex("^[0-9]{12}$", id))])
    error_message = "allowed_account_ids must be account numbers of twelve digits, in quotes."
  }
}
