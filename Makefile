# The commands that a newcomer and a maintainer need. `make help` lists them.
.PHONY: help run stop test bench acceptance acceptance-reasons providers property harness harness-broken fuzz check build fmt lint db-reset migrate openapi install

help: ## List the commands
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 28

run: ## Install what is missing, build, start everything, run the main job once; MUSTER_PORT= chooses the port
	@scripts/run

stop: ## End what `make run` started
	@scripts/stop

test: ## Install what is missing, build, run all tests; FILTER= chooses some
	@scripts/test $(if $(FILTER),--filter '$(FILTER)')

bench: ## Measure beside baselines on the running stack; ONLY=name,name for some, SCALE=0.05 for fewer contacts
	@scripts/bench

acceptance: ## The main job with 64,000 contacts on the running stack, every number checked; CONTACTS= names the file
	@scripts/acceptance

acceptance-reasons: ## Two campaigns to 10,000 people with every reason for being left out, compared message by message; SEED= repeats one
	@scripts/acceptance reasons

providers: ## Twilio's and SendGrid's own Python libraries against our sandbox and webhooks, on the running stack
	@scripts/providers

property: ## Random rules over random contacts, the compiler against the naive reading; CASES= says how many, 1,000,000 without
	@MUSTER_RULE_CASES=$(or $(CASES),1000000) scripts/test --filter RulePropertyTests

harness: ## Campaigns while everything dies, KILLS= times, 2,000 without; SEED= repeats one
	@MUSTER_HARNESS_KILLS=$(or $(KILLS),2000) $(if $(SEED),MUSTER_HARNESS_SEED=$(SEED)) scripts/test --filter CampaignHarnessTests

harness-broken: ## The same for variants of the code that are broken on purpose: each must be caught
	@scripts/harness-broken

fuzz: ## Feed the rule parser with random input; FOR= seconds, 60 without
	@scripts/fuzz $(FOR)

check: ## What CI checks: formatting, nginx, systemd, tests
	@scripts/check && scripts/test

build: ## Build in release
	swift build -c release --static-swift-stdlib

fmt: ## Format the source
	swift format --in-place --recursive Sources Tests Package.swift

lint: ## Check the formatting
	swift format lint --strict --recursive Sources Tests Package.swift

db-reset: ## Delete the database of `make run`
	@scripts/db-reset

migrate: ## Apply pending migrations to the database of `make run`
	@set -a; . .run/env; swift run -c release --static-swift-stdlib --quiet muster migrate --folder migrations

openapi: ## Print the OpenAPI document
	@swift run -c release --static-swift-stdlib --quiet muster openapi

install: ## Install on this server, or below DESTDIR=; see README.md
	@scripts/install
