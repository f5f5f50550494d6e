environment = "production"
region      = "us-east-1"

# Whose account this may be made in: with other credentials Terraform stops before it changes anything.
# allowed_account_ids = ["123456789012"]

# Names are made of the environment, the region and, for buckets, the account's number. Names that are there already:
# buckets = {
#   input  = "my-manifests"
#   output = "my-collages"
#   temp   = "my-scratch"
# }

# An existing bucket for S3's access logs, if your rules ask for them:
# access_log_bucket = "my-s3-access-logs"
