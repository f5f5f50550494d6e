variable "repository_name" {
  description = "Name of the ECR repository for the worker's image; null for collage-worker-<environment>-<region>."
  type        = string
  default     = null

  validation {
    condition     = var.repository_name == null || (can(regex("^[a-z0-9]+([._/-][a-z0-9]+)*$", var.repository_name)) && try(length(var.repository_name), 0) <= 256)
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

variable "image_readers" {
  description = "Other accounts that may pull images from here, to promote them to registries of their own."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for id in var.image_readers : can(regex("^[0-9]{12}$", id))])
    error_message = "image_readers must be account numbers of twelve digits, in quotes."
  }
}
