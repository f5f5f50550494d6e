variable "data_half" {
  description = "What the data half made: its output `for_service`. scripts/deploy.py hands it over; by hand it is a .tfvars.json."
  type = object({
    environment    = string
    region         = string
    input_bucket   = string
    output_bucket  = string
    temp_bucket    = string
    queue_name     = string
    queue_url      = string
    queue_arn      = string
    dlq_name       = string
    dlq_url        = string
    dlq_arn        = string
    table_name     = string
    table_arn      = string
    repository_url = string
    repository_arn = string
    key_arn        = string
    bucket_key_arn = optional(string) # null where S3's own key encrypts
  })

  validation {
    condition = alltrue([
      for arn in [var.data_half.queue_arn, var.data_half.dlq_arn, var.data_half.table_arn, var.data_half.repository_arn, var.data_half.key_arn] :
      startswith(arn, "arn:")
    ])
    error_message = "data_half: each …_arn must be an ARN. Take the whole object from `terraform output -json for_service` of the data half."
  }

  validation {
    condition     = startswith(var.data_half.queue_url, "https://") && startswith(var.data_half.dlq_url, "https://")
    error_message = "data_half: queue_url and dlq_url must be https URLs, as SQS gives them."
  }
}

variable "image_tag" {
  description = "Tag of the worker's image in the registry: the commit it was built from."
  type        = string

  validation {
    condition     = can(regex("^[0-9a-f]{7,40}(-[A-Za-z0-9_.-]+)?$", var.image_tag))
    error_message = "image_tag must be a commit's hash (7 to 40 hexadecimal digits, with an optional -suffix): a name that moves cannot be rolled back to."
  }
}

variable "image_digest" {
  description = "Digest of the image's bytes (sha256:…). scripts/deploy.py gives it, so that tasks run what was scanned and proved; null takes whatever has the tag."
  type        = string
  default     = null

  validation {
    condition     = var.image_digest == null || can(regex("^sha256:[0-9a-f]{64}$", var.image_digest))
    error_message = "image_digest must be sha256: and 64 hexadecimal digits, or null."
  }
}

variable "deployment_record" {
  description = "What scripts/deploy.py writes down to be able to go back: the commit of this code, and the text of the variables that were applied."
  type        = object({ commit = string, variables = string })
  default     = { commit = "", variables = "" }

  validation {
    condition     = length(var.deployment_record.variables) <= 100000
    error_message = "deployment_record: variables of more than 100,000 characters are no service.tfvars."
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

variable "allowed_account_ids" {
  description = "AWS accounts that this may be made in; with other credentials Terraform stops before it changes anything. Empty: any."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for id in var.allowed_account_ids : can(regex("^[0-9]{12}$", id))])
    error_message = "allowed_account_ids must be account numbers of twelve digits, in quotes."
  }
}
