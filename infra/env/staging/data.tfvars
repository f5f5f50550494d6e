environment = "staging"
region      = "us-east-1"

# Bucket names are shared by all of AWS: put your own in front.
buckets = {
  input  = "example-staging-tiktok-image-input"
  output = "example-staging-tiktok-image-output"
  temp   = "example-staging-tiktok-image-temp"
}

# Names of its own, so that one account can hold production as well: SQS would hand out the same queue twice, silently.
queue_name      = "staging-tiktok-image-processing-queue"
dlq_name        = "staging-tiktok-image-processing-dlq"
table_name      = "staging-tiktok-creator-processing-state"
repository_name = "staging-collage-worker"

# Staging may be thrown away: `make destroy ENV=staging` then deletes what it holds as well.
force_destroy       = true
deletion_protection = false
images_kept         = 10
old_version_days    = 7
