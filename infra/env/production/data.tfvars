environment = "production"
region      = "us-east-1"

# Bucket names are shared by all of AWS: put your own in front.
buckets = {
  input  = "example-tiktok-image-input"
  output = "example-tiktok-image-output"
  temp   = "example-tiktok-image-temp"
}

# An existing bucket for S3's access logs, if your rules ask for them:
# access_log_bucket = "example-s3-access-logs"
