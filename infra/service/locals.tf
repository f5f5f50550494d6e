data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition

  # amazonaws.com, or amazonaws.com.cn in China; and where the console is.
  dns_suffix = data.aws_partition.current.dns_suffix
  console    = lookup({ aws-cn = "console.amazonaws.cn", aws-us-gov = "console.amazonaws-us-gov.com" }, local.partition, "console.aws.amazon.com")
  region     = var.data_half.region

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
