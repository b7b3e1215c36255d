# The commands that a newcomer and a maintainer need. `make help` lists them.
.PHONY: help run stop test bench check build fmt lint migrate openapi

help: ## List the commands
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 16

run: ## Install what is missing, build, start everything, run the main job once
	@scripts/run

stop: ## End what `make run` started
	@scripts/stop

test: ## Install what is missing, build, run all tests
	@scripts/test

bench: ## Measure beside baselines on the running stack; ONLY=name for one
	@scripts/bench

check: ## What CI checks: formatting, nginx, systemd, tests
	@scripts/check && scripts/test

build: ## Build in release
	swift build -c release

fmt: ## Format the source
	swift format --in-place --recursive Sources Tests Package.swift

lint: ## Check the formatting
	swift format lint --strict --recursive Sources Tests Package.swift

migrate: ## Apply pending migrations to MUSTER_DATABASE
	swift run -c release muster migrate --folder migrations

openapi: ## Print the OpenAPI document
	@swift run -c release muster openapi
