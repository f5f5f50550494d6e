# Gateway endpoints are free and keep the traffic to S3 and DynamoDB off NAT gateways.
resource "aws_vpc_endpoint" "gateway" {
  for_each = local.own_vpc ? toset(["s3", "dynamodb"]) : toset([])

  vpc_id            = aws_vpc.own[0].id
  service_name      = "com.amazonaws.${local.region}.${each.value}"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = concat(aws_route_table.public[*].id, aws_route_table.private[*].id)
  tags              = { Name = "${local.name}-${each.value}" }
}

locals {
  # In China some services' endpoints have another beginning, and the provider's data source does not know it
  # (terraform-aws-modules/terraform-aws-vpc #1121). These are the ones of ours that do.
  china_prefixed = ["sqs", "ecr.api", "ecr.dkr"]

  endpoint_prefix = {
    for name in var.interface_endpoints : name => local.partition == "aws-cn" && contains(local.china_prefixed, name) ? "cn.com.amazonaws" : "com.amazonaws"
  }
}

# Interface endpoints (SQS, logs, the registry) cost $7.30 a month each, in each zone: more than their traffic, which is
# small. They are for those whose rules forbid the way over public addresses.
resource "aws_vpc_endpoint" "interface" {
  for_each = local.own_vpc ? var.interface_endpoints : toset([])

  vpc_id              = aws_vpc.own[0].id
  service_name        = "${local.endpoint_prefix[each.value]}.${local.region}.${each.value}"
  vpc_endpoint_type   = "Interface"
  subnet_ids          = local.subnet_ids
  security_group_ids  = aws_security_group.endpoints[*].id
  private_dns_enabled = true
  tags                = { Name = "${local.name}-${each.value}" }
}

resource "aws_security_group" "endpoints" {
  count = local.own_vpc && length(var.interface_endpoints) > 0 ? 1 : 0

  name_prefix = "${local.name}-endpoints-"
  description = "Interface endpoints: from the tasks"
  vpc_id      = local.vpc_id
  tags        = { Name = "${local.name}-endpoints" }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "endpoints" {
  count = length(aws_security_group.endpoints)

  security_group_id            = aws_security_group.endpoints[0].id
  description                  = "From the tasks"
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
  referenced_security_group_id = aws_security_group.tasks.id
}
