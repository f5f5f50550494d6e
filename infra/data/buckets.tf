resource "aws_s3_bucket" "input" {
  #checkov:skip=CKV_AWS_145:encrypted with SSE-S3 (AES256) unless bucket_encryption says otherwise; see keys.tf
  #checkov:skip=CKV_AWS_144:manifests are exports of a database that its owners keep; a second region would double them
  #checkov:skip=CKV_AWS_18:access logs are written where access_log_bucket is set; by default they would cost as much as the requests
  bucket        = local.names.input
  force_destroy = var.force_destroy

  lifecycle {
    prevent_destroy = true # scripts/deploy.py lifts it where it is told to
  }
}

resource "aws_s3_bucket" "output" {
  #checkov:skip=CKV_AWS_145:encrypted with SSE-S3 (AES256) unless bucket_encryption says otherwise; see keys.tf
  #checkov:skip=CKV_AWS_144:a collage can be made again from its manifest; replication would double the storage bill
  #checkov:skip=CKV_AWS_18:access logs are written where access_log_bucket is set; by default they would cost as much as the requests
  #checkov:skip=CKV2_AWS_62:nothing waits for collages; whoever does can subscribe to the bucket's EventBridge events
  bucket        = local.names.output
  force_destroy = var.force_destroy

  lifecycle {
    prevent_destroy = true # scripts/deploy.py lifts it where it is told to
  }
}

resource "aws_s3_bucket" "temp" {
  #checkov:skip=CKV_AWS_145:encrypted with SSE-S3 (AES256) unless bucket_encryption says otherwise; see keys.tf
  #checkov:skip=CKV_AWS_144:everything here is scratch that a worker can write again
  #checkov:skip=CKV_AWS_18:scratch space that only the worker's role may touch
  #checkov:skip=CKV_AWS_21:versions of scratch files would outlive the seven days they are kept
  #checkov:skip=CKV2_AWS_62:nothing waits for scratch files
  bucket        = local.names.temp
  force_destroy = var.force_destroy

  lifecycle {
    prevent_destroy = true # scripts/deploy.py lifts it where it is told to
  }
}

locals {
  buckets = {
    input  = aws_s3_bucket.input
    output = aws_s3_bucket.output
    temp   = aws_s3_bucket.temp
  }

  bucket_key_arn = var.bucket_encryption == "aws:kms" ? aws_kms_key.main.arn : null
}

# The input bucket's versions are what a batch is named after, and let a newer upload survive the archiving of an older
# one. The output bucket's are an undo for people: the worker itself never overwrites a collage.
resource "aws_s3_bucket_versioning" "kept" {
  for_each = { for name, bucket in local.buckets : name => bucket if name != "temp" }

  bucket = each.value.id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "all" {
  for_each = local.buckets

  bucket = each.value.id

  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm     = var.bucket_encryption
      kms_master_key_id = local.bucket_key_arn
    }

    # S3 then asks KMS once for many objects, and not once for each of millions.
    bucket_key_enabled = local.bucket_key_arn != null
  }
}

resource "aws_s3_bucket_logging" "all" {
  for_each = { for name, bucket in local.buckets : name => bucket if var.access_log_bucket != null && name != "temp" }

  bucket        = each.value.id
  target_bucket = var.access_log_bucket
  target_prefix = "${each.value.id}/"
}
