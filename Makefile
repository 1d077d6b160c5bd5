# Two commands on a fresh machine: `make demo` and `make test`. Needs Python >= 3.11, Node >= 20 and make; no root, no Docker.
# Services come embedded unless DATABASE_URL, REDIS_URL or CHAIN_RPC_URL name others.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

BIN := .venv/bin
RUN := $(BIN)/python -m portal.demo
# Stamps carry a sum of what they were made from, so that switching branches installs again and nothing else does.
WANTED_PYTHON := $(shell cat requirements.txt requirements-dev.txt | cksum | tr ' ' '-')
WANTED_NODE := $(shell cat package.json package-lock.json | cksum | tr ' ' '-')
FRONTEND_SOURCES := $(shell find frontend templates -type f -not -path 'frontend/dist/*' 2>/dev/null)
CATALOGUES := $(shell find portal kyc tokens lending chain locale -name '*.po' 2>/dev/null)
# Enough for commands that read the settings and reach no service.
OFFLINE := DJANGO_SETTINGS_MODULE=portal.settings.local SECRET_KEY=offline DATABASE_URL=postgresql:///offline REDIS_URL=redis://127.0.0.1:1/0 CHAIN_RPC_URL=http://127.0.0.1:1

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

# --- set-up ---------------------------------------------------------------------------------------------------------

setup: .venv/installed-$(WANTED_PYTHON) node_modules/.installed-$(WANTED_NODE) frontend/dist/.built .venv/.translated ## install what is pinned, build the front end

.venv/installed-$(WANTED_PYTHON):
	@sh deploy/setup-python.sh "$@"

node_modules/.installed-$(WANTED_NODE):
	@sh deploy/setup-node.sh "$@"

frontend/dist/.built: node_modules/.installed-$(WANTED_NODE) $(FRONTEND_SOURCES)
	@echo "  building the front end …"
	@npm run build --silent -- --logLevel error && touch $@

.venv/.translated: .venv/installed-$(WANTED_PYTHON) $(CATALOGUES)
	@echo "  compiling the translations …"
	@$(OFFLINE) $(BIN)/python manage.py translations compile >/dev/null && touch $@

# --- the running portal ---------------------------------------------------------------------------------------------

demo: setup ## start everything with sample people, and say where it is; Ctrl-C stops it
	@$(RUN) up

demo-detached: setup ## the same in the background
	@$(RUN) up --detach

demo-stop: ## stop a demo that runs in the background
	@$(RUN) down

demo-memory: ## what the running demo takes, process by process
	@$(RUN) status

demo-reset: ## forget the demo's data
	@$(RUN) reset

smoke: setup ## drive the main job over HTTP against a fresh demo of its own; the exit status tells
	@$(BIN)/python -m portal.demo.smoke

# --- tests ----------------------------------------------------------------------------------------------------------

test: setup ## contracts, Python on the real services, and browser journeys
	@sh tests/run.sh

test-contracts: setup ## forge only
	@sh tests/run.sh contracts

test-python: setup ## pytest without the browser, on fresh embedded services
	@sh tests/run.sh python

test-browser: setup ## browser journeys against a fresh demo
	@sh tests/run.sh browser

qa: setup ## style, types, translations, migrations, deployment check
	@sh tests/qa.sh

prove: setup ## Slither, halmos and the long invariants (docs/security)
	@sh deploy/prove.sh

mutate: setup ## change the contracts in one place at a time and see whether a test notices (half an hour; goes on where it stopped)
	@node contracts/script/mutate.mjs

bench: bench-gas bench-index bench-collateral bench-pages ## every benchmark

bench-gas: setup ## gas of the contracts, ending in a RATIO line
	@$(BIN)/python bench/gas.py

bench-index: setup ## how fast the chain is read, ending in a RATIO line
	@$(RUN) with-services -- $(BIN)/python bench/index.py

bench-collateral: setup ## how fast a price finds the loans it breaches, ending in a RATIO line
	@$(RUN) with-services -- $(BIN)/python bench/collateral.py

bench-pages: setup ## pages with 100,000 rows behind them, ending in a RATIO line
	@$(BIN)/python bench/pages.py

drill: setup ## every theft drill on a node of its own; the report goes to .run/drills, the exit status tells
	@$(RUN) with-services -- $(BIN)/python manage.py run_drills --report .run/drills

screenshots: setup ## take the pictures of docs/screenshots again
	@sh tests/run.sh screenshots

clean: ## remove what can be made again (not the demo's data)
	@rm -rf .venv node_modules frontend/dist frontend/document-fonts staticfiles contracts/out contracts/cache .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help prove mutate setup demo demo-detached demo-stop demo-memory demo-reset smoke test test-contracts test-python test-browser qa bench bench-gas bench-index bench-collateral drill screenshots clean
