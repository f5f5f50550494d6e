variable "vpc_id" {
  description = "An existing VPC to run in; null makes one."
  type        = string
  default     = null

  validation {
    condition     = var.vpc_id == null || can(regex("^vpc-[0-9a-f]+$", var.vpc_id))
    error_message = "vpc_id must be a VPC's id (vpc-…), or null."
  }
}

variable "subnet_ids" {
  description = "Subnets of the existing VPC: public ones for egress \"public_ip\", private ones with a NAT route for \"nat\"."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for id in var.subnet_ids : can(regex("^subnet-[0-9a-f]+$", id))])
    error_message = "subnet_ids must be subnets' ids (subnet-…)."
  }

  validation {
    condition     = (var.vpc_id == null) == (length(var.subnet_ids) == 0)
    error_message = "vpc_id and subnet_ids go together: give both for an existing VPC, or neither."
  }
}

variable "vpc_cidr" {
  description = "Addresses of the VPC that is made; it is cut into eight parts, one for each subnet."
  type        = string
  default     = "10.80.0.0/21"

  validation {
    condition     = can(cidrhost(var.vpc_cidr, 0)) && try(tonumber(split("/", var.vpc_cidr)[1]) <= 22 && tonumber(split("/", var.vpc_cidr)[1]) >= 16, false)
    error_message = "vpc_cidr must be a block from /16 to /22: a deployment at full scale holds 100 addresses for a while."
  }
}

variable "zones" {
  description = "How many availability zones the VPC that is made spans. More zones are more Spot pools to draw from."
  type        = number
  default     = 3

  validation {
    condition     = contains([2, 3, 4], var.zones)
    error_message = "zones must be 2, 3 or 4."
  }
}

variable "egress" {
  description = "How tasks reach the covers: public_ip (an address for each task) or nat (a NAT gateway, billed by the gigabyte)."
  type        = string
  default     = "public_ip"

  validation {
    condition     = contains(["public_ip", "nat"], var.egress)
    error_message = "egress must be public_ip or nat."
  }
}

variable "egress_ports" {
  description = "TCP ports that tasks may connect to. Covers on other ports fail with `connect` or `timeout`."
  type        = set(number)
  default     = [80, 443]

  validation {
    condition     = contains(var.egress_ports, 443) && alltrue([for port in var.egress_ports : port > 0 && port < 65536])
    error_message = "egress_ports must be ports from 1 to 65535, 443 among them: the worker reaches AWS through it."
  }
}

variable "excluded_zone_ids" {
  description = "Ids of availability zones without Fargate, which the VPC that is made does without. The default is what AWS documents for Linux."
  type        = set(string)
  default     = ["usw1-az2", "apne1-az3", "cnn1-az3", "cnn1-az4"]

  validation {
    condition     = alltrue([for id in var.excluded_zone_ids : can(regex("^[a-z0-9-]+-az[0-9]+$", id))])
    error_message = "excluded_zone_ids must be ids of zones, such as use1-az3 (not us-east-1e, which is another zone in each account)."
  }
}

variable "interface_endpoints" {
  description = "AWS services that are reached through interface endpoints of the VPC that is made: of sqs, logs, ecr.api, ecr.dkr, ssmmessages, secretsmanager. About $7.30 a month for each, in each zone."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for name in var.interface_endpoints : contains(["sqs", "logs", "ecr.api", "ecr.dkr", "ssmmessages", "secretsmanager"], name)])
    error_message = "interface_endpoints may hold sqs, logs, ecr.api, ecr.dkr, ssmmessages and secretsmanager."
  }

  validation {
    condition     = length(var.interface_endpoints) == 0 || var.vpc_id == null
    error_message = "interface_endpoints are made in the VPC that is made; in an existing one, its owners make them."
  }
}

variable "dns_servers" {
  description = "Blocks of the name servers of an existing VPC that has its own, for example [\"10.0.0.2/32\"]: tasks may ask them. Amazon's own server needs no entry."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for block in var.dns_servers : can(cidrhost(block, 0))])
    error_message = "dns_servers must be blocks of addresses, for example 10.0.0.2/32."
  }
}
