# Where Terraform keeps the state of staging. The bucket is made once by hand (infra/README.md): put its name here, the
# placeholder is refused. scripts/deploy.py adds the key of each half. use_lockfile needs Terraform 1.10; with 1.9 leave
# it out and let one person deploy.
bucket       = "example-terraform-state"
region       = "us-east-1"
encrypt      = true
use_lockfile = true
