data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  region    = var.data_half.region

  # The deployment's own name: whatever is made here carries it. With the region in it, because roles and dashboards are
  # the account's, not a region's.
  name = "collage-worker-${var.data_half.environment}-${var.data_half.region}"

  tags = merge({
    application = "collage-worker"
    environment = var.data_half.environment
    half        = "service"
    managed-by  = "terraform"
  }, var.tags)
}
