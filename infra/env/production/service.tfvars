min_tasks = 0 # 1 keeps SQS's figures fresh, so that the first batch of the night starts at once (docs/scale.md)
max_tasks = 50

# The first task is never taken away; of the others four in five are Spot.
capacity = {
  on_demand_base   = 1
  on_demand_weight = 1
  spot_weight      = 4
}

log_retention_days = 30

# An existing network instead of one of its own:
# vpc_id     = "vpc-0123456789abcdef0"
# subnet_ids = ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]

# alarm_emails = ["collages-on-call@example.com"]
# runbook_url  = "https://git.example.com/collage-worker/docs/runbook.md"
