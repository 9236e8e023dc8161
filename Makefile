# Everything a contributor runs. `make` alone lists the targets; each one
# installs the development environment first, whenever the lock has changed.
# Variables given on the command line (PORT=8100) reach the programs.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SYNCED := $(VENV)/.synced
INSTALLED := $(VENV)/.installed
STATE := .gatehouse
CHART := charts/gatehouse
APP := $(BIN)/python -m app
UV := UV_PYTHON_DOWNLOADS=never $(BIN)/uv
COMPOSE := docker compose --env-file docker/.env --file docker/compose.yaml
ARGS ?=
# How all tests are run; with ARGS they run in one process.
IN_PARALLEL := --numprocesses=auto --dist=worksteal

GATES := ruff-check mypy interrogate typos dead-code-scan bandit-scan \
	import-lint deptry skjold-scan

.PHONY: help
help:  ## List the targets
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@ / { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z0-9-]+:.*## / { printf "  %-21s %s\n", $$1, $$2 }' \
	  $(firstword $(MAKEFILE_LIST))

##@ Run

.PHONY: serve
serve: $(INSTALLED)  ## Run the service with real servers (PORT=…, PODS=3)
	@exec $(APP) dev $(ARGS)

.PHONY: migrate
migrate: $(INSTALLED)  ## Apply every migration that is not applied yet
	@$(call with-database,migrate)

.PHONY: rollback
rollback: $(INSTALLED)  ## Undo the newest migration
	@$(call with-database,rollback)

.PHONY: migration
migration: $(INSTALLED)  ## Write a migration from the models (msg="…")
	@test -n "$${msg:-}" || \
	  { echo 'usage: make migration msg="what changes"' >&2; exit 2; }
	@$(call with-database,migration "$$msg")

.PHONY: migration-history
migration-history: $(INSTALLED)  ## List the migrations
	@$(call with-database,migration-history)

.PHONY: migration-current
migration-current: $(INSTALLED)  ## Show where the database is
	@$(call with-database,migration-current)

.PHONY: migration-stamp
migration-stamp: $(INSTALLED)  ## Mark the database without migrating (rev=…)
	@test -n "$${rev:-}" || \
	  { echo 'usage: make migration-stamp rev="head"' >&2; exit 2; }
	@$(call with-database,migration-stamp "$$rev")

.PHONY: ws-handlers
ws-handlers: $(INSTALLED)  ## Show each PkgID with its handler
	@$(APP) ws-handlers

.PHONY: new-ws-handlers
new-ws-handlers: $(INSTALLED)  ## Write a new message (ARGS="--name …", or asks)
	@exec $(APP) new-ws-handlers $(ARGS)

.PHONY: routes
routes: $(INSTALLED)  ## Show the HTTP routes
	@$(APP) routes

.PHONY: permissions
permissions: $(INSTALLED)  ## Show who may do what
	@$(APP) permissions show

.PHONY: bench
bench: $(INSTALLED)  ## Measure the costs, into docs/performance.md (8 min)
	@exec $(APP) bench --write $(ARGS)

##@ Test

# The chart's tests come last: they need every core, and others the clock.
.PHONY: test
test: $(INSTALLED)  ## Run every test against real servers (ARGS="-k …")
	@$(BIN)/python -m pytest $(or $(ARGS),$(IN_PARALLEL))
	@$(if $(ARGS),,$(BIN)/python -m pytest $(IN_PARALLEL) tests/chart)

.PHONY: soak
soak: $(INSTALLED)  ## Break everything at random, for a minute (SECONDS=600 SEED=7)
	@SOAK_SECONDS=$(or $(SECONDS),60) SOAK_SEED=$(SEED) \
	  SOAK_SOCKETS=1000 $(BIN)/python -m pytest -qs tests/app/test_journal.py
	@if [ -n "$${KUBECONFIG:-}" ] || [ -x $(CLUSTER) ]; then \
	  exec $(MAKE) soak-e2e SECONDS=$(or $(SECONDS),600); \
	else echo "no cluster: the operators' part (make soak-e2e) is left out"; fi

.PHONY: soak-e2e
soak-e2e: $(INSTALLED)  ## The same on Kubernetes: 100 kills, 10 minutes idle
	@export SOAK_KILLS=100 SOAK_MAPS=30000 SOAK_STEADY=$(or $(SECONDS),600); \
	exec $(MAKE) e2e ARGS="tests/e2e -q --timeout=1800"

# CLUSTER names the script that starts one and prints its kubeconfig.
CLUSTER ?= ../shared/kube/up

# LOAD builds an image and loads it into that cluster; BASES makes the others.
BASES ?= ../shared/kube/images
LOAD ?= ../shared/kube/load --build

.PHONY: e2e
e2e: $(INSTALLED) nginx  ## Run the tests that need Kubernetes (KUBECONFIG=…)
	@export KUBECONFIG="$${KUBECONFIG:-$$($(CLUSTER))}" \
	  PATH="$(CURDIR)/$(BIN):$$HOME/.cache/testcluster/bin:$$PATH"; \
	$(load-images); \
	exec $(BIN)/python -m pytest $(or $(ARGS),tests/e2e)

# Where there is no LOAD, the cluster has the images already.
define load-images
if [ -x $(BASES) ]; then $(BASES) >/dev/null; fi; \
if [ -x $(firstword $(LOAD)) ]; then \
  for image in gatehouse:app gatehouse-operator:operator; do \
    $(LOAD) docker/$${image#*:}.Dockerfile \
      docker.io/library/$${image%:*}:$$(sed -n 's/^appVersion: "\(.*\)"/\1/p' \
      $(CHART)/Chart.yaml) --format docker . >/dev/null; \
  done; \
fi
endef

.PHONY: nginx
nginx: $(INSTALLED)  ## Fetch nginx, behind which the chart's tests come in
	@$(call fetch-program,nginx,usr/sbin/nginx,nginx)

.PHONY: test-migrations
test-migrations: $(INSTALLED)  ## Try each migration up and down
	@$(call with-database,test-migrations)

.PHONY: promtool
promtool: $(INSTALLED)  ## Fetch Prometheus' checker of metrics, for the tests
	@$(call fetch-program,prometheus,usr/bin/promtool,promtool)

##@ Check

.PHONY: check
check: $(INSTALLED)  ## Run every gate, also after one has failed
	@summary=""; failed=0; \
	for gate in $(GATES); do \
	  printf '── %s\n' "$$gate"; rm -f $(STATE)/not-run; \
	  if ! $(MAKE) "$$gate"; then result=FAILED; failed=1; \
	  elif [ -e $(STATE)/not-run ]; then result='not run'; \
	  else result=passed; fi; \
	  summary+=$$(printf '%-16s %s' "$$gate" "$$result")$$'\n'; \
	done; \
	printf '\n%s' "$$summary"; exit $$failed

.PHONY: ruff-check
ruff-check: $(INSTALLED)  ## Lint, and compare the formatting
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check

.PHONY: mypy
mypy: $(INSTALLED)  ## Check the types, strictly
	@$(BIN)/mypy

.PHONY: interrogate
interrogate: $(INSTALLED)  ## Measure the docstrings (80 % at least)
	@$(BIN)/interrogate app operator/src

.PHONY: typos
typos: $(INSTALLED)  ## Check the spelling
	@$(BIN)/typos

.PHONY: dead-code-scan
dead-code-scan: $(INSTALLED)  ## Find code that nothing uses
	@$(BIN)/vulture

.PHONY: bandit-scan
bandit-scan: $(INSTALLED)  ## Find insecure code
	@$(BIN)/bandit --quiet --recursive app operator/src --configfile pyproject.toml -ll

.PHONY: import-lint
import-lint: $(INSTALLED)  ## Check that imports go down the layers
	@$(BIN)/lint-imports --no-logo

.PHONY: deptry
deptry: $(INSTALLED)  ## Compare the dependencies with the imports
	@$(BIN)/deptry . 2>&1
	@cd operator && ../$(BIN)/deptry . 2>&1

.PHONY: skjold-scan
skjold-scan: $(INSTALLED)  ## Look the locked packages up in the advisories
	@$(audit)

.PHONY: outdated-pkgs-scan
outdated-pkgs-scan: $(INSTALLED)  ## List packages that have a newer release
	@$(UV) pip list --python $(BIN)/python --outdated

##@ Change

.PHONY: format
format: $(INSTALLED)  ## Format, and mend what can be mended by machine
	@$(BIN)/ruff check --fix-only --quiet
	@$(BIN)/ruff format

.PHONY: docs
docs: $(INSTALLED)  ## Write what is made of the settings and the values
	@table=$$($(APP) settings-table); \
	printf '%s\n' "$$table" > docs/settings.md
	@$(BIN)/python charts/values.py
	@$(BIN)/python grafana/dashboards.py

.PHONY: manifests
manifests: $(INSTALLED)  ## Write operator/deploy and the chart's part of it
	@$(APP) permissions catalogue > operator/permissions.json
	@for part in admission crds keycloak rbac; do \
	  $(BIN)/python -m gatehouse_operator manifests $$part \
	    > operator/deploy/$$part.yaml; done
	@$(BIN)/python -m gatehouse_operator manifests admission \
	  --release RELEASE --namespace NAMESPACE > $(CHART)/files/admission.yaml
	@for part in deletion-cost keycloak rbac; do \
	  $(BIN)/python -m gatehouse_operator rules $$part --release RELEASE \
	    > $(CHART)/files/operator-$$part-rules.yaml; done
	@cp operator/deploy/crds.yaml $(CHART)/crds/gatehouse.dev.yaml

.PHONY: requirements
requirements: $(INSTALLED)  ## Lock the dependencies (ARGS=--upgrade: newest)
	@$(UV) pip compile $(LOCK) pyproject.toml operator/pyproject.toml \
	  $(EXTRAS) --group dev $(ARGS) \
	  --output-file requirements/dev.txt
	@$(UV) pip compile $(LOCK) pyproject.toml $(EXTRAS) \
	  --constraint requirements/dev.txt \
	  --output-file requirements/service.txt
	@$(UV) pip compile $(LOCK) operator/pyproject.toml \
	  --constraint requirements/dev.txt \
	  --output-file requirements/operator.txt
	@$(UV) pip compile $(LOCK) --constraint requirements/dev.txt \
	  --group build --output-file requirements/build.txt

.PHONY: hooks
hooks: $(INSTALLED)  ## Run the hooks before each commit from now on
	@$(BIN)/prek install

.PHONY: clean
clean:  ## Remove what was made here, but not the servers' data
	@rm -rf $(VENV) dist .mypy_cache .pytest_cache .ruff_cache .hypothesis \
	  .schemathesis .import_linter_cache
	@find app operator tests -name __pycache__ -type d -prune -exec rm -rf {} +

##@ Docker

.PHONY: build
build: engine docker/.env  ## Build the service's image, for the next ones
	@$(COMPOSE) build

# With what the machine has: docker, else buildah.
BUILDER ?= $(shell docker info >/dev/null 2>&1 && echo docker build || \
  echo buildah build --format docker --layers)
TAG ?= dev
.PHONY: images
images:  ## Build both images, by docker or buildah (TAG=…, BUILDER=…)
	@for name in app operator; do \
	  tag=gatehouse$${name#app}; tag=$${tag/operator/-operator}:$(TAG); \
	  $(BUILDER) --file docker/$$name.Dockerfile --tag $$tag . || exit; \
	  echo "$$tag"; done

.PHONY: start
start: engine docker/.env  ## Start the service and its servers in containers
	@$(COMPOSE) up --detach --wait

.PHONY: stop
stop: engine docker/.env  ## Stop them; their data stay
	@$(COMPOSE) down

.PHONY: shell
shell: engine docker/.env  ## Open a shell in the service's container
	@exec $(COMPOSE) exec app bash

# `docker info` can wait for ever on a dead socket, so it is given a time.
.PHONY: engine
engine:
	$(if $(shell $(PYTHON) -c 'import subprocess as s; s.run(["docker", \
	  "info"], stdout=-3, timeout=10, check=True); print("yes")' \
	  2>/dev/null),,$(error no Docker engine answers))
	$(if $(shell docker compose version 2>/dev/null),,$(error \
	  the Docker engine answers, but the compose plugin is missing))

# Passwords of the containers, made once and kept out of the repository.
docker/.env: | docker/.env.example
	@umask 077; while read -r line; do case "$$line" in \
	  *PASSWORD=|*SECRET=) echo "$$line$$(od -An -N16 -tx1 /dev/urandom | \
	    tr -d ' \n')";; \
	  *) echo "$$line";; esac; done < docker/.env.example > $@

# The environment. It follows the lock, never the other way round; `sync`
# also removes what the lock no longer names. uv comes by pip, with its hash.
# Where Python may not keep what it compiles, each process would compile all of
# it anew, for 2 s and more: then it is compiled here.
$(SYNCED): requirements/dev.txt
	$(if $(shell $(PYTHON) -c 'import ensurepip, sys; print("yes" if \
	  sys.version_info >= (3, 11) else "")' 2>/dev/null),,$(error \
	  $(PYTHON) is not Python 3.11 or newer with its venv module (Debian: \
	  python3-venv); name one with PYTHON=…))
	@$(BIN)/uv --version >/dev/null 2>&1 || { \
	  echo "Making $(VENV) …"; \
	  $(PYTHON) -m venv --clear $(VENV); \
	  sed -n '/^uv==/,/# via/p' requirements/dev.txt >$(VENV)/uv.txt; \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check \
	    --require-hashes --requirement $(VENV)/uv.txt; }
	@set -o pipefail; $(UV) pip sync --python $(BIN)/python \
	  $(if $(PYTHONDONTWRITEBYTECODE),--compile-bytecode) \
	  --require-hashes $< 2>&1 | awk '!/^ [-+~] / { print; fflush() }'
	@touch $@

$(INSTALLED): $(SYNCED) pyproject.toml operator/pyproject.toml
	@$(UV) pip install --python $(BIN)/python --quiet --no-deps \
	  --no-build-isolation --editable . --editable operator
	@touch $@

# What the image has.
EXTRAS := --extra service --extra otel

# What `uv pip compile` writes: pins with hashes for every platform, and no
# line that names a host.
LOCK := --quiet --universal --python-version 3.11 --generate-hashes \
	--no-header --no-emit-index-url --no-emit-package gatehouse-service

# Runs a verb on the database that the environment names, else on the one
# that `make serve` keeps.
define with-database
if [ -z "$${DATABASE_URL:-}$${DB_HOST:-}" ] && [ -f $(STATE)/env ]; then \
  set -a; . ./$(STATE)/env; set +a; fi; exec $(APP) $(1)
endef

# `uv audit` reads nothing but a uv.lock: a scratch project pins what the
# lock pins. uv ends with 1 for findings and with 2 for everything else; a
# failed request then means that nobody was asked, which is no pass.
AUDIT := $(STATE)/audit
AUDIT_URL ?= https://api.osv.dev/
define audit
rm -rf $(AUDIT); mkdir -p $(AUDIT); \
printf '[project]\nname = "pins"\nversion = "0"\n%s\n' \
  'requires-python = ">=3.11"' >$(AUDIT)/pyproject.toml; \
export UV_HTTP_RETRIES=1 UV_HTTP_TIMEOUT=10; status=0; \
{ $(UV) add --quiet --no-sync --project $(AUDIT) \
    --requirements requirements/dev.txt && \
  $(UV) audit --project $(AUDIT) --preview-features audit-command \
    --service-url $(AUDIT_URL); } >$(AUDIT)/report 2>&1 || status=$$?; \
if [ $$status = 2 ] && grep -qiE 'for url|request failed|failed to fetch' \
  $(AUDIT)/report; then \
  touch $(STATE)/not-run; \
  echo "skjold-scan: not run, no advisory source answers"; exit 0; fi; \
cat $(AUDIT)/report; exit $$status
endef

# Debian's package without what it would start: one file of it is wanted. A
# list of packages that is old names files that are there no more, so a new
# one is fetched first where that is allowed.
# Arguments: the package, the file in it, the program's name.
define fetch-program
if command -v $(3) >/dev/null || [ -x $(BIN)/$(3) ]; then exit 0; fi; \
folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; log=$$folder/log; \
( { [ "$$(id -u)" != 0 ] || timeout 120 apt-get -qq update; } && \
  cd "$$folder" && timeout 300 apt-get -qq download \
    -o APT::Sandbox::User=root $(1) && \
  dpkg-deb --fsys-tarfile $(1)_*.deb | tar -xf - ./$(2) \
) >"$$log" 2>&1 || { \
  echo "$(3): not fetched, $$(tail -n 1 "$$log")"; exit 0; }; \
install -m 755 "$$folder/$(2)" $(BIN)/$(3)
endef
