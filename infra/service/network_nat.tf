# Only for egress "nat". One gateway for all zones: a second one would cost $33 a month to guard against the loss of a
# zone, in which case the queue simply waits.
resource "aws_eip" "nat" {
  count = local.own_nat ? 1 : 0

  domain = "vpc"
  tags   = { Name = "${local.name}-nat" }
}

resource "aws_nat_gateway" "own" {
  count = local.own_nat ? 1 : 0

  allocation_id = aws_eip.nat[0].id
  subnet_id     = aws_subnet.public[0].id
  tags          = { Name = local.name }

  depends_on = [aws_internet_gateway.own]
}

resource "aws_subnet" "private" {
  count = local.own_nat ? length(local.zone_names) : 0

  vpc_id            = aws_vpc.own[0].id
  availability_zone = local.zone_names[count.index]
  cidr_block        = local.blocks[4 + count.index]
  tags              = { Name = "${local.name}-private-${count.index + 1}" }
}

resource "aws_route_table" "private" {
  count = local.own_nat ? 1 : 0

  vpc_id = aws_vpc.own[0].id
  tags   = { Name = "${local.name}-private" }

  route {
    cidr_block     = "0.0.0.0/0"
    nat_gateway_id = aws_nat_gateway.own[0].id
  }
}

resource "aws_route_table_association" "private" {
  count = local.own_nat ? length(local.zone_names) : 0

  subnet_id      = aws_subnet.private[count.index].id
  route_table_id = aws_route_table.private[0].id
}
