locals {
  # Manifests are read once and then kept for questions. They wait under csv-files/ and are moved to archived/.
  manifest_prefixes = { waiting-manifests = "csv-files/", archived-manifests = "archived/" }

  manifest_transitions = [
    { days = 30, class = "STANDARD_IA" },
    { days = 90, class = "GLACIER" },
    { days = 365, class = "DEEP_ARCHIVE" },
  ]
}

# Manifests below 128 KB stay in STANDARD, as S3 has it by default: moving one costs more than it would ever save.
resource "aws_s3_bucket_lifecycle_configuration" "input" {
  bucket = aws_s3_bucket.input.id

  dynamic "rule" {
    for_each = local.manifest_prefixes

    content {
      id     = rule.key
      status = "Enabled"

      filter {
        prefix = rule.value
      }

      dynamic "transition" {
        for_each = local.manifest_transitions

        content {
          days          = transition.value.days
          storage_class = transition.value.class
        }
      }
    }
  }

  # They stay where they are when their batch is done, and may be asked for again: no GLACIER, which would refuse that.
  rule {
    id     = "manual-uploads"
    status = "Enabled"

    filter {
      prefix = "manual-uploads/"
    }

    transition {
      days          = 30
      storage_class = "STANDARD_IA"
    }

    dynamic "expiration" {
      for_each = var.manual_upload_days[*]

      content {
        days = expiration.value
      }
    }
  }

  rule {
    id     = "leftovers"
    status = "Enabled"
    filter {}

    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }

    noncurrent_version_expiration {
      noncurrent_days = var.old_version_days
    }

    expiration {
      expired_object_delete_marker = true
    }
  }

  depends_on = [aws_s3_bucket_versioning.kept]
}

resource "aws_s3_bucket_lifecycle_configuration" "output" {
  bucket = aws_s3_bucket.output.id

  dynamic "rule" {
    for_each = var.collage_lifecycle.ia_days == null && var.collage_lifecycle.expire_days == null ? [] : sort(var.collage_lifecycle.prefixes)

    content {
      id     = "collages-${rule.value}"
      status = "Enabled"

      filter {
        prefix = rule.value
      }

      dynamic "transition" {
        for_each = var.collage_lifecycle.ia_days[*]

        content {
          days          = transition.value
          storage_class = "STANDARD_IA"
        }
      }

      dynamic "expiration" {
        for_each = var.collage_lifecycle.expire_days[*]

        content {
          days = expiration.value
        }
      }
    }
  }

  rule {
    id     = "smoke-batches"
    status = "Enabled"

    filter {
      prefix = "smoke/" # what deployments were proved with; nobody else's output_prefix should be this
    }

    expiration {
      days = 30
    }
  }

  rule {
    id     = "leftovers"
    status = "Enabled"
    filter {}

    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }

    noncurrent_version_expiration {
      noncurrent_days = var.old_version_days
    }

    expiration {
      expired_object_delete_marker = true
    }
  }

  depends_on = [aws_s3_bucket_versioning.kept]
}

locals {
  # Chunks and part results are gone when no message can ask for them any more; the rest is for people to look at.
  temp_days = { processing = 7, debug = 7, large-files = 15, smoke = 1 }
}

resource "aws_s3_bucket_lifecycle_configuration" "temp" {
  bucket = aws_s3_bucket.temp.id

  dynamic "rule" {
    for_each = local.temp_days

    content {
      id     = rule.key
      status = "Enabled"

      filter {
        prefix = "${rule.key}/"
      }

      expiration {
        days = rule.value
      }
    }
  }

  rule {
    id     = "leftovers"
    status = "Enabled"
    filter {}

    abort_incomplete_multipart_upload {
      days_after_initiation = 1
    }
  }
}
