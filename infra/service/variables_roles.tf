variable "role_path" {
  description = "Path of the roles that are made, where your rules ask for one, for example /applications/."
  type        = string
  default     = "/"

  validation {
    condition     = can(regex("^/([!-.0-~]+/)*$", var.role_path)) && length(var.role_path) <= 512
    error_message = "role_path must begin and end with /, for example /applications/."
  }
}

variable "permissions_boundary" {
  description = "ARN of the policy that bounds every role made here, where your rules ask for one; null for none."
  type        = string
  default     = null

  validation {
    condition     = var.permissions_boundary == null || can(regex("^arn:[a-z-]+:iam::([0-9]{12}|aws):policy/.+$", var.permissions_boundary))
    error_message = "permissions_boundary must be the ARN of a policy (arn:aws:iam::…:policy/…), or null."
  }
}
