resource "aws_ecr_repository" "worker" {
  name                 = local.names.repository
  image_tag_mutability = "IMMUTABLE" # a tag is a commit: what ran yesterday can be named, and cannot change
  force_delete         = var.force_destroy

  image_scanning_configuration {
    scan_on_push = true
  }

  encryption_configuration {
    encryption_type = "KMS"
    kms_key         = aws_kms_key.main.arn
  }

  lifecycle {
    prevent_destroy = true
  }
}

# Who promotes an image from here to another account's registry reads it there.
resource "aws_ecr_repository_policy" "readers" {
  count = length(var.image_readers) > 0 ? 1 : 0

  repository = aws_ecr_repository.worker.name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "OtherAccountsPull"
      Effect    = "Allow"
      Principal = { AWS = [for id in sort(var.image_readers) : "arn:${local.partition}:iam::${id}:root"] }
      Action    = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:DescribeImages", "ecr:GetDownloadUrlForLayer"]
    }]
  })
}

# An image is pushed as an index, with its provenance and its bill of materials beside it. Those parts have no tag; ECR
# keeps what an index refers to for as long as the index is there.
resource "aws_ecr_lifecycle_policy" "worker" {
  repository = aws_ecr_repository.worker.name

  policy = jsonencode({
    rules = [
      {
        rulePriority = 1
        description  = "Layers of pushes that broke off"
        selection    = { tagStatus = "untagged", countType = "sinceImagePushed", countUnit = "days", countNumber = 1 }
        action       = { type = "expire" }
      },
      {
        rulePriority = 2
        description  = "Deployments nobody rolls back to any more"
        selection    = { tagStatus = "tagged", tagPatternList = ["*"], countType = "imageCountMoreThan", countNumber = var.images_kept }
        action       = { type = "expire" }
      },
    ]
  })
}
