environment = "staging"
region      = "us-east-1"

# Whose account this may be made in: with other credentials Terraform stops before it changes anything.
# allowed_account_ids = ["123456789012"]

# Staging may be thrown away: `make destroy ENV=staging DATA=1` then deletes what it holds as well.
force_destroy       = true
deletion_protection = false
images_kept         = 10
old_version_days    = 7
