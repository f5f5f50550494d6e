data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition

  tags = merge({
    application = "collage-worker"
    environment = var.environment
    half        = "data"
    managed-by  = "terraform"
  }, var.tags)
}
