variable "repository_name" {
  description = "Name of the ECR repository for the worker's image."
  type        = string
  default     = "collage-worker"

  validation {
    condition     = can(regex("^[a-z0-9]+([._/-][a-z0-9]+)*$", var.repository_name)) && length(var.repository_name) <= 256
    error_message = "repository_name must be lower-case words joined by dots, slashes, underscores or hyphens."
  }
}

variable "images_kept" {
  description = "How many images the repository keeps: as many deployments one can roll back."
  type        = number
  default     = 30

  validation {
    condition     = var.images_kept >= 2 && var.images_kept <= 1000
    error_message = "images_kept must be from 2 to 1000: the running image and at least one to go back to."
  }
}
