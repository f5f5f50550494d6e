data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  region    = var.data_half.region
  name      = "collage-worker-${var.data_half.environment}"

  tags = merge({
    application = "collage-worker"
    environment = var.data_half.environment
    half        = "service"
    managed-by  = "terraform"
  }, var.tags)
}
