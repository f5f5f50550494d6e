resource "aws_cloudwatch_log_group" "worker" {
  #checkov:skip=CKV_AWS_338:records and summaries keep what happened; logs are for looking into the last weeks (log_retention_days)
  name              = "/ecs/${local.name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.data_half.key_arn
}
