resource "aws_ecs_cluster" "main" {
  name = local.name

  # The scaling policy divides by DesiredTaskCount, which only Container Insights publishes.
  setting {
    name  = "containerInsights"
    value = "enabled"
  }
}

resource "aws_ecs_cluster_capacity_providers" "main" {
  cluster_name       = aws_ecs_cluster.main.name
  capacity_providers = var.capacity.spot_weight > 0 ? ["FARGATE", "FARGATE_SPOT"] : ["FARGATE"]
}
