resource "aws_dynamodb_table" "state" {
  name                        = local.names.table
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = "creator_name"
  range_key                   = "processing_date"
  deletion_protection_enabled = var.deletion_protection && !var.force_destroy

  dynamic "attribute" {
    for_each = ["creator_name", "processing_date", "batch_id", "status"]

    content {
      name = attribute.value
      type = "S"
    }
  }

  global_secondary_index {
    name            = "batch-id-index"
    hash_key        = "batch_id"
    projection_type = "ALL"
  }

  global_secondary_index {
    name            = "status-date-index"
    hash_key        = "status"
    range_key       = "processing_date"
    projection_type = "ALL"
  }

  ttl {
    attribute_name = "ttl"
    enabled        = true
  }

  point_in_time_recovery {
    enabled = true
  }

  server_side_encryption {
    enabled     = true
    kms_key_arn = aws_kms_key.main.arn
  }

  lifecycle {
    prevent_destroy = true
  }
}
