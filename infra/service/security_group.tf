# Nothing may connect to a task: the health check runs inside its container.
resource "aws_security_group" "tasks" {
  name_prefix = "${local.name}-"
  description = "Collage worker tasks: out to the web, nothing in"
  vpc_id      = local.vpc_id
  tags        = { Name = local.name }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_egress_rule" "web" {
  for_each = toset([for port in var.egress_ports : tostring(port)])

  security_group_id = aws_security_group.tasks.id
  description       = "Covers, and AWS itself"
  ip_protocol       = "tcp"
  from_port         = tonumber(each.value)
  to_port           = tonumber(each.value)
  cidr_ipv4         = "0.0.0.0/0"
}

# Amazon's own name server is reached whatever the rules say; one of the VPC's owners is not.
resource "aws_vpc_security_group_egress_rule" "dns" {
  for_each = { for pair in setproduct(var.dns_servers, ["udp", "tcp"]) : "${pair[0]} ${pair[1]}" => { block = pair[0], protocol = pair[1] } }

  security_group_id = aws_security_group.tasks.id
  description       = "Name servers"
  ip_protocol       = each.value.protocol
  from_port         = 53
  to_port           = 53
  cidr_ipv4         = each.value.block
}
