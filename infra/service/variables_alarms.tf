variable "alarm_emails" {
  description = "Addresses that alarms are mailed to; each has to confirm once."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for address in var.alarm_emails : can(regex("^[^@\\s]+@[^@\\s]+\\.[^@\\s]+$", address))])
    error_message = "alarm_emails must be e-mail addresses."
  }
}

variable "runbook_url" {
  description = "Where docs/runbook.md can be read; alarms point at its headings."
  type        = string
  default     = "docs/runbook.md"

  validation {
    condition     = can(regex("^[!-~]{1,300}$", var.runbook_url))
    error_message = "runbook_url must be a path or URL without spaces."
  }
}

variable "thresholds" {
  description = "When alarms go off. Ages in seconds, the error ratio from 0 to 1, memory in percent."
  type = object({
    oldest_message_age = optional(number, 7200)
    retention_age      = optional(number, 864000)
    dlq_age            = optional(number, 259200)
    error_ratio        = optional(number, 0.5)
    error_ratio_images = optional(number, 200)
    memory_percent     = optional(number, 90)
  })
  default = {}

  validation {
    condition     = var.thresholds.oldest_message_age >= 300 && var.thresholds.oldest_message_age <= 1209600
    error_message = "thresholds.oldest_message_age must be from 300 to 1209600 seconds (14 days, when SQS drops messages)."
  }

  validation {
    condition     = var.thresholds.retention_age >= 86400 && var.thresholds.dlq_age >= 3600 && var.thresholds.retention_age + var.thresholds.dlq_age <= 1123200
    error_message = "thresholds: retention_age (a day or more) and dlq_age (an hour or more) must be at most 1123200 seconds (13 days) together: a message that SQS moves to the dead-letter queue ends 14 days after it was first sent."
  }

  validation {
    condition     = var.thresholds.error_ratio > 0 && var.thresholds.error_ratio < 1 && var.thresholds.error_ratio_images >= 1
    error_message = "thresholds.error_ratio must be between 0 and 1, error_ratio_images at least 1."
  }

  validation {
    condition     = var.thresholds.memory_percent >= 50 && var.thresholds.memory_percent <= 100
    error_message = "thresholds.memory_percent must be from 50 to 100."
  }
}

variable "prices" {
  description = "Dollars, for the dashboard's cost per thousand collages: AWS public price list, us-east-1, as known in January 2025. Verify before relying on them."
  type = object({
    vcpu_hour           = optional(number, 0.04048)
    gib_hour            = optional(number, 0.004445)
    spot_discount       = optional(number, 0.70)
    ipv4_hour           = optional(number, 0.005)
    requests_a_thousand = optional(number, 0.0185)
  })
  default = {}

  validation {
    condition     = alltrue([for price in values(var.prices) : price >= 0]) && var.prices.spot_discount < 1
    error_message = "prices must not be negative; spot_discount is the part that Spot saves, below 1."
  }
}
