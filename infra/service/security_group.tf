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
