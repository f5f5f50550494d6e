# Gateway endpoints are free and keep the traffic to S3 and DynamoDB off NAT gateways. Interface endpoints (SQS, logs,
# the registry) cost $7 a month for each zone: more than their traffic, which is small.
resource "aws_vpc_endpoint" "gateway" {
  for_each = local.own_vpc ? toset(["s3", "dynamodb"]) : toset([])

  vpc_id            = aws_vpc.own[0].id
  service_name      = "com.amazonaws.${local.region}.${each.value}"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = concat(aws_route_table.public[*].id, aws_route_table.private[*].id)
  tags              = { Name = "${local.name}-${each.value}" }
}
