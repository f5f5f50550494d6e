data "aws_availability_zones" "available" {
  count = local.own_vpc ? 1 : 0

  state            = "available"
  exclude_zone_ids = var.excluded_zone_ids

  filter {
    name   = "opt-in-status"
    values = ["opt-in-not-required"]
  }
}

locals {
  own_vpc    = var.vpc_id == null
  own_nat    = local.own_vpc && var.egress == "nat"
  vpc_id     = local.own_vpc ? aws_vpc.own[0].id : var.vpc_id
  zone_names = local.own_vpc ? slice(data.aws_availability_zones.available[0].names, 0, min(var.zones, length(data.aws_availability_zones.available[0].names))) : []
  blocks     = cidrsubnets(var.vpc_cidr, 3, 3, 3, 3, 3, 3, 3, 3) # four public, four private
  subnet_ids = !local.own_vpc ? var.subnet_ids : local.own_nat ? aws_subnet.private[*].id : aws_subnet.public[*].id
}

resource "aws_vpc" "own" {
  #checkov:skip=CKV2_AWS_11:a million collages are 35 million connections to CDNs; their flow records would cost more than they tell
  count = local.own_vpc ? 1 : 0

  cidr_block           = var.vpc_cidr
  enable_dns_support   = true
  enable_dns_hostnames = true
  tags                 = { Name = local.name }
}

# Nothing uses it; left as AWS makes it, it would let its members talk to each other.
resource "aws_default_security_group" "own" {
  count = local.own_vpc ? 1 : 0

  vpc_id = aws_vpc.own[0].id
}

resource "aws_internet_gateway" "own" {
  count = local.own_vpc ? 1 : 0

  vpc_id = aws_vpc.own[0].id
  tags   = { Name = local.name }
}

resource "aws_subnet" "public" {
  count = length(local.zone_names)

  vpc_id                  = aws_vpc.own[0].id
  availability_zone       = local.zone_names[count.index]
  cidr_block              = local.blocks[count.index]
  map_public_ip_on_launch = false # the service asks for addresses where it wants them
  tags                    = { Name = "${local.name}-public-${count.index + 1}" }
}

resource "aws_route_table" "public" {
  count = local.own_vpc ? 1 : 0

  vpc_id = aws_vpc.own[0].id
  tags   = { Name = "${local.name}-public" }

  route {
    cidr_block = "0.0.0.0/0"
    gateway_id = aws_internet_gateway.own[0].id
  }
}

resource "aws_route_table_association" "public" {
  count = length(local.zone_names)

  subnet_id      = aws_subnet.public[count.index].id
  route_table_id = aws_route_table.public[0].id
}
