locals {
  # The worker's settings that `settings` may set; the others follow from what is made here. tests/infra holds the two
  # lists together against worker/settings.py.
  free_settings = [
    "DEFAULT_ROWS", "DEFAULT_COLS", "DEFAULT_QUALITY", "DEFAULT_MAX_WORKERS", "DEFAULT_TIMEOUT", "DEFAULT_MAX_RETRIES",
    "DEFAULT_MAX_IMAGES_PER_CREATOR", "DEFAULT_OUTPUT_PREFIX", "MIN_IMAGE_SIZE", "MAX_IMAGE_SIZE", "MAX_IMAGE_BYTES",
    "MAX_IMAGE_PIXELS", "MAX_CONCURRENT_DOWNLOADS", "USER_AGENT", "REFERER", "RETRY_BACKOFF_FACTOR",
    "RETRY_MAX_DELAY",
    "ENABLE_DEDUPLICATION", "CONTENT_HASH_ALGORITHM", "DECODE_PROCESSES", "COLLISION_CHECK_ENABLED",
    "S3_PRESIGNED_URL_EXPIRATION", "STATE_TTL_DAYS", "DEBUG_CAPTURE", "MEMORY_WARNING_THRESHOLD",
    "MEMORY_CRITICAL_THRESHOLD", "BATCH_COORDINATION_ENABLED", "MAX_CONCURRENT_JOBS", "VISIBILITY_TIMEOUT",
    "WAIT_TIME_SECONDS", "LOG_LEVEL", "CHUNK_CREATORS", "MAX_CONNECTIONS_PER_HOST", "ALLOWED_IMAGE_HOSTS",
    "DEFAULT_CREATOR_COLUMN", "DEFAULT_URL_COLUMN", "DEFAULT_ENCODING",
  ]

  environment = merge(var.settings, {
    INPUT_BUCKET        = var.data_half.input_bucket
    OUTPUT_BUCKET       = var.data_half.output_bucket
    TEMP_BUCKET         = var.data_half.temp_bucket
    SQS_QUEUE_URL       = var.data_half.queue_url
    SQS_DLQ_URL         = var.data_half.dlq_url
    DYNAMODB_TABLE_NAME = var.data_half.table_name
    AWS_REGION          = local.region
    # S3 refuses where a bucket of this name is another account's.
    EXPECTED_BUCKET_OWNER = local.account
    METRICS_NAMESPACE     = local.metrics_namespace
    SERVICE_NAME          = local.name
    STOP_GRACE_SECONDS    = "100" # of the 120 that ECS gives
    LOG_FORMAT            = "json"
    REQUIRE_SANDBOX       = "true" # Fargate has seccomp; a worker without it does not start
    HEALTH_PORT           = "8080"
    TMPDIR                = "/tmp"
    ALLOWED_PORTS         = join(",", sort([for port in var.egress_ports : tostring(port)])) # what the security group lets out
    # A deployment's smoke batch reads its covers from the temp bucket, whatever hosts are allowed besides.
    }, lookup(var.settings, "ALLOWED_IMAGE_HOSTS", "") == "" ? {} : {
    ALLOWED_IMAGE_HOSTS = "${var.settings["ALLOWED_IMAGE_HOSTS"]},${var.data_half.temp_bucket}.s3.${local.region}.${local.dns_suffix}"
    }, var.data_half.bucket_key_arn == null ? {} : {
    S3_KMS_KEY = var.data_half.bucket_key_arn
    # As soon as one bucket is named here, the worker takes no other for granted.
    }, length(var.allowed_input_buckets) == 0 ? {} : {
    ALLOWED_INPUT_BUCKETS = join(",", concat([var.data_half.input_bucket], sort(var.allowed_input_buckets)))
  })
}
