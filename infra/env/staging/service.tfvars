# Everything from Spot, nothing at night: staging costs some $5 a month when nobody uses it (the key, alarms, metrics).
min_tasks = 0
max_tasks = 5

capacity = {
  on_demand_base   = 0
  on_demand_weight = 0
  spot_weight      = 1
}

log_retention_days = 14
settings           = { LOG_LEVEL = "info" }

# alarm_emails = ["staging-alarms@example.com"]
