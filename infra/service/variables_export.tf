variable "mysql_export" {
  description = "Rows from MySQL as a manifest, by the clock: a task of its own writes what `query` gives to `key` of the input bucket, where it starts a batch. `secret_arn` is a secret of Secrets Manager that holds MYSQL_URL (one key of it: …:secret:NAME-abc123:KEY::), `secret_key_arn` its key where that is one of yours; `database_block` is where the database is; `schedule` is rate(…) or cron(…) in `timezone`; `ca` is whose certificates count, as PEM (Amazon RDS: the bundle of the region). Null: no export."
  type = object({
    secret_arn     = string
    secret_key_arn = optional(string)
    database_block = string
    port           = optional(number, 3306)
    query          = string
    key            = optional(string, "csv-files/mysql-export.csv.gz")
    schedule       = string
    timezone       = optional(string, "UTC")
    ca             = optional(string)
  })
  default = null

  validation {
    condition     = var.mysql_export == null || can(regex("^arn:[a-z-]+:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[^: ]+(:[^: ]*:[^: ]*:[^: ]*)?$", var.mysql_export.secret_arn))
    error_message = "mysql_export.secret_arn must be the ARN of a secret of Secrets Manager, with or without :KEY:: behind it. A password has no place among variables: they are written down with each deployment."
  }

  validation {
    condition     = var.mysql_export == null || can(regex("^(rate|cron)\\(.+\\)$", var.mysql_export.schedule))
    error_message = "mysql_export.schedule must be rate(…) or cron(…), for example cron(0 2 * * ? *)."
  }

  validation {
    condition     = var.mysql_export == null || (can(cidrhost(var.mysql_export.database_block, 0)) && try(var.mysql_export.port > 0 && var.mysql_export.port < 65536, false))
    error_message = "mysql_export: database_block must be a block of addresses, for example 10.0.3.0/24, and port one from 1 to 65535."
  }

  validation {
    condition     = var.mysql_export == null || can(regex("^csv-files/.+[^/]$", var.mysql_export.key))
    error_message = "mysql_export.key must begin with csv-files/ and name an object: there it starts a batch."
  }

  validation {
    condition     = var.mysql_export == null || can(regex("(?i)^\\s*select\\s", var.mysql_export.query))
    error_message = "mysql_export.query must be a SELECT whose columns are named as a manifest's (creator, cover_url)."
  }
}
