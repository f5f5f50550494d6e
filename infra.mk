# Targets for infra/: included by the Makefile. ENV is staging or production.
.PHONY: test-infra infra-fmt infra-lock need-env deploy destroy output env scale

test-infra: setup ## Terraform checked, tested on a mock and applied to an emulator; checkov; scripts. Needs no account
	@scripts/infra_test

infra-fmt: ## put infra/ in Terraform's canonical form
	@terraform fmt -recursive infra

infra-lock: ## lock the checksums of Terraform's provider anew, for every platform; needs its registry
	@scripts/infra_lock

need-env:
	@[ -n "$(ENV)" ] || { echo "say which: ENV=staging or ENV=production (a folder of infra/env)" >&2; exit 2; }

deploy: need-env setup ## build or promote, plan, apply, prove with a smoke batch, or roll back: make deploy ENV=staging [TAG=…] [IMAGE=…] [AUTO=1]
	@.venv/bin/python scripts/deploy.py deploy $(ENV) $(if $(TAG),--tag "$(TAG)") $(if $(IMAGE),--image "$(IMAGE)") \
	  $(foreach address,$(ALLOW_REPLACE),--allow-replace "$(address)") $(if $(AUTO),--yes)

destroy: need-env setup ## take the service away, and with DATA=1 also what it holds: make destroy ENV=staging
	@.venv/bin/python scripts/deploy.py destroy $(ENV) $(if $(DATA),--data) $(if $(AUTO),--yes)

output: need-env setup ## what an environment put out: make output ENV=staging [NAME=dashboard_url]
	@.venv/bin/python scripts/deploy.py output $(ENV) $(NAME)

env: need-env setup ## the variables that the commands need, for a shell: eval "$$(make -s env ENV=staging)"
	@.venv/bin/python scripts/deploy.py env $(ENV)

scale: setup ## simulate scaling, and write the figures and plots of docs/scale.md
	@.venv/bin/python scripts/scale_report.py
