# What people type. Each target sets up what it needs; a bare `make` explains them.
.DEFAULT_GOAL := help
.PHONY: help setup first demo demo-shell test test-system test-crash test-simulation test-soak test-image-python test-ministack test-nightly up down image lint format reference session site test-site test-install man lock clean

PY := .venv/bin/python
COMPOSE := docker compose

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-18s %s\n", $$1, $$2}'

setup: ## make .venv/ with everything the other targets use; nothing is done when it is current
	@scripts/setup

first: setup ## three rows of a CSV, and the collage that comes of them, in first-output/
	@samples/with-photos collage process samples/first.csv --output first-output --set cols=3

demo: setup ## the main job on real photos with an embedded AWS, no Docker; results in demo-output/
	@$(PY) scripts/demo.py

demo-shell: setup ## the same, and then a shell in which the commands know that AWS; it ends with the shell
	@$(PY) scripts/demo.py --shell

test: setup ## lint, then unit and integration tests (moto; the same against LocalStack with AWS_ENDPOINT_URL)
	@$(MAKE) --no-print-directory lint
	@$(PY) -m pytest

lint: setup ## types, style, and the direction of imports
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports --no-cache | tail -4

format: setup ## put the code in its canonical form
	@.venv/bin/ruff check --fix-only --quiet .
	@.venv/bin/ruff format .

image: ## build the container image, collage-worker:local; its bill of materials goes to build/sbom.cdx.json; PINNED=1
	@docker build --tag collage-worker:local $(if $(PINNED),--build-arg BASE="$$(scripts/base_image)") \
	  --build-arg VERSION="$$(sed -n 's/^__version__ = "\(.*\)"/\1/p' worker/__init__.py)" \
	  --build-arg REVISION="$$(git rev-parse HEAD 2>/dev/null || echo unknown)" .
	@mkdir -p build
	@docker run --rm --network none --entrypoint cat collage-worker:local \
	  /usr/share/doc/collage-worker/sbom.cdx.json > build/sbom.cdx.json

up: ## LocalStack, the worker and an origin with sample photos, in Docker
	@$(COMPOSE) up --build --wait

down: ## stop them, and forget what they hold
	@$(COMPOSE) --profile demo down --volumes --remove-orphans

test-system: setup ## black-box tests of the built image through docker compose
	@$(PY) -m pytest tests/system

test-crash: setup ## the crash matrix: the worker killed at every step, twice (some minutes)
	@$(PY) -m pytest tests/crash -m crash

test-simulation: setup ## thousands of seeds of the simulation, beyond those of `make test` (some minutes)
	@$(PY) -m tests.simulation.run --seeds 400-1800 --jobs "$$(nproc)"

test-soak: setup ## a thousand messages through one worker: memory must stay flat (some minutes)
	@$(PY) -m pytest tests/integration -m soak

test-image-python: ## the unit and security tests on the image's Python, in a plain container, as an ordinary user
	@scripts/test_image_python

test-ministack: setup ## the integration tests against an emulator that checks signatures and checksums; TESTS=a file of them
	@scripts/test_ministack $(TESTS)

test-nightly: setup ## the whole crash matrix, more seeds, chaos, all mutations, the soak (an hour or two); PART=chaos for one
	@scripts/nightly $(PART)

reference: setup ## write docs/reference/ and the tables of docs/ that the code has
	@$(PY) scripts/reference.py

session: setup ## record docs/images/session.svg anew: commands in the demo's shell, and what they say
	@$(PY) scripts/record_session.py

site: ## the documentation as a site in build/site/, readable from the disk; every link and anchor is checked
	@scripts/setup_site
	@NO_MKDOCS_2_WARNING=1 .venv-site/bin/mkdocs build --strict
	@echo "open build/site/index.html"

test-site: setup site ## the site from the disk: search in both languages, and no call to another server
	@$(PY) -m pytest -q tests/site

test-install: ## this checkout installed into an environment of its own, as pipx does, and a collage made with it
	@scripts/test_install

man: setup ## man pages of the commands, from their help texts: build/man/collage.1
	@$(PY) scripts/make_man.py

lock: ## pin the requirements anew
	@scripts/lock --upgrade

clean: ## remove what the other targets made
	@rm -rf .venv .venv-site demo-output first-output sample-output build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

include infra.mk security.mk bench.mk
