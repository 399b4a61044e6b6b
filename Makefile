# Needs GNU make and Python 3.11 or newer; everything else goes into .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PYTEST = $(BIN)/python -m pytest --durations=10
BASELINE := protos/baseline.binpb

# Debian's packages that the tests marked `deb` need.
SYSTEM_DEPS := iproute2 prometheus zsh fish systemd nodejs
# Node's own packages bring npm along, and Debian's would break them.
SYSTEM_DEPS += $(if $(shell command -v npm),,npm)
# Compilers, generators and libraries of the clients in docs/clients that have to be built.
SYSTEM_DEPS += golang-go golang-google-grpc-dev golang-github-golang-protobuf-1-5-dev golang-google-genproto-dev \
  protobuf-compiler protoc-gen-go-1-5 protoc-gen-go-grpc \
  g++ pkg-config protobuf-compiler-grpc libprotobuf-dev libgrpc++-dev \
  default-jdk-headless protobuf-compiler-grpc-java-plugin libgrpc-java libprotobuf-java libgoogle-common-protos-java \
  libnetty-java libnetty-tcnative-java libnetty-tcnative-jni libguava-java liberror-prone-java libgoogle-gson-java \
  libjsr305-java libperfmark-java libgeronimo-annotation-1.3-spec-java
# What `make bench` compares with; without them it leaves that out, and says so.
BENCH_DEPS := etcd-server etcd-client redis-server nats-server postgresql

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

.PHONY: help
help: ## List what can be made
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# --- The environment -------------------------------------------------------------------------------------------------

# Anew also where .venv came here with a copied folder, or its Python is gone.
ifneq ($(shell test -x $(BIN)/python && cat $(READY) 2>/dev/null),$(CURDIR))
.PHONY: $(READY)
endif
$(READY): requirements.lock pyproject.toml tools/bootstrap.py
	@$(PYTHON) tools/bootstrap.py

.PHONY: setup
setup: $(READY) ## Set up .venv (all others do it by themselves)
	@:

.PHONY: system-deps
system-deps: ## Install the Debian packages that test-full needs (as root or by sudo)
	$(if $(filter 0,$(shell id -u)),,sudo )apt-get update
	$(if $(filter 0,$(shell id -u)),,sudo )apt-get install --yes --no-install-recommends $(SYSTEM_DEPS)

.PHONY: bench-deps
bench-deps: ## Install the Debian packages that bench compares with (as root or by sudo)
	$(if $(filter 0,$(shell id -u)),,sudo )apt-get update
	$(if $(filter 0,$(shell id -u)),,sudo )apt-get install --yes --no-install-recommends $(BENCH_DEPS)

.PHONY: lock
lock: $(READY) ## Resolve the newest versions into requirements.lock and docs/requirements.lock
	@$(BIN)/python -m tools.lock

# --- To run and to test ----------------------------------------------------------------------------------------------

.PHONY: run
run: $(READY) ## Run it all, with a failover (ONCE=1, OUTPUT=sur-gard, DIRECT=1, PROMETHEUS=1: docs/demo.md)
	@$(BIN)/hotspare-sim demo $(if $(filter-out 0 no,$(ONCE)),--once) $(if $(OUTPUT),--output $(OUTPUT)) \
	  $(if $(filter-out 0 no,$(DIRECT)),--direct) $(if $(filter-out 0 no,$(PROMETHEUS)),--prometheus)

# Four at once, for most of the time tests wait; those that need processors give way. Each one tells its results whole.
# What is about seconds comes when the others are nearly done; the simulator, which takes both processors, comes last.
LAST = $(wildcard tests/acceptance/test_fail*.py tests/acceptance/test_faults_*.py)
BESIDE = tests/integration/cloud $(wildcard tests/integration/test_cli_*.py)

# Hundreds of processes start: each would compile all of it anew where Python is told to keep no bytecode.
test test-full: export PYTHONDONTWRITEBYTECODE =

define tests-together
	@mkdir -p build
	@nice -n 19 $(PYTEST) $(1) tests/unit tests/simulation >build/tests-unit.txt 2>&1 & unit=$$!; \
	$(PYTEST) $(1) $(BESIDE) >build/tests-cloud.txt 2>&1 & cloud=$$!; \
	$(PYTEST) $(1) tests/integration $(BESIDE:%=--ignore=%) >build/tests-integration.txt 2>&1 & integration=$$!; \
	trap 'kill -INT $$unit $$cloud $$integration 2>/dev/null' INT TERM; \
	$(PYTEST) $(1) tests --ignore=tests/simulation --ignore=tests/unit --ignore=tests/integration \
	  $(LAST:%=--ignore=%); failed=$$?; \
	$(PYTEST) $(1) $(LAST) || failed=$$?; \
	wait $$cloud || failed=$$?; cat build/tests-cloud.txt; \
	wait $$integration || failed=$$?; cat build/tests-integration.txt; \
	wait $$unit || failed=$$?; cat build/tests-unit.txt; \
	exit $$failed
endef

.PHONY: test
test: $(READY) ## Run the tests that need nothing but Python (under 10 minutes)
	$(call tests-together,-m "not full and not deb")

.PHONY: test-full
test-full: $(READY) ## Run all tests (under 45 minutes; needs system-deps)
	@missing=; for package in $(SYSTEM_DEPS); do \
	  dpkg-query --show --showformat='$${Status}' $$package 2>/dev/null | grep -q ' installed$$' \
	    || missing="$$missing $$package"; \
	done; \
	if [ -n "$$missing" ]; then \
	  echo "These Debian packages are missing:$$missing. Install them: make system-deps" >&2; exit 1; \
	fi
	$(call tests-together)

.PHONY: simulate
simulate: $(READY) ## Simulate failovers: SEEDS=1..100000, SEED=756 to read one, MUTANT=no-hold with a guard broken
	@$(BIN)/python -m tests.simulation.run $(if $(SEED),--trace $(SEED),--seeds $(or $(SEEDS),1..500)) \
	  $(if $(MUTANT),--mutant $(MUTANT))

.PHONY: bench
bench: $(READY) ## Measure the failover (20 minutes on a quiet machine; BENCH="--parts P1 --kills 10" for less)
	$(BIN)/python -m benchmarks run $(BENCH)

.PHONY: bench-sync
bench-sync: $(READY) ## Measure backup and sync (P10) of up to 70,000 records (10 minutes)
	$(BIN)/python -m benchmarks.sync $(BENCH)

.PHONY: bench-alarms
bench-alarms: $(READY) ## Measure the way of an alarm at full speed (P5 to P9), beside others (15 minutes)
	$(BIN)/python -m benchmarks.alarms $(BENCH)

.PHONY: fuzz
fuzz: $(READY) ## Fuzz the decoder, the DC-09 listener, the intake, all services (a minute; FUZZ="--seconds 600")
	@$(BIN)/python -m tests.fuzz.run $(FUZZ)

# --- The site --------------------------------------------------------------------------------------------------------

DOCS_VENV := .venv-docs

$(DOCS_VENV)/.ready: docs/requirements.lock | $(READY)
	@echo "Setting up $(DOCS_VENV) (once) ..."
	@$(BIN)/python -m venv --clear $(DOCS_VENV)
	@$(DOCS_VENV)/bin/python -m pip install --quiet --quiet --disable-pip-version-check --require-hashes --requirement $<
	@touch $@

.PHONY: docs
docs: $(DOCS_VENV)/.ready ## Build the site of docs/ into build/site
	@NO_MKDOCS_2_WARNING=1 PYTHONDONTWRITEBYTECODE=1 $(DOCS_VENV)/bin/python -m mkdocs build --quiet --strict --clean
	@echo "The site is in build/site: open build/site/index.html."

# --- To check --------------------------------------------------------------------------------------------------------

.PHONY: check
check: check-lint check-types check-protos check-breaking check-generated check-layers ## Check all but the tests
	@echo "All checks passed."

.PHONY: check-lint
check-lint: $(READY) ## ruff: lint and format
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --quiet --diff .

.PHONY: check-types
check-types: $(READY) ## mypy --strict
	$(BIN)/mypy --no-error-summary

.PHONY: check-protos
check-protos: $(READY) ## buf: lint (STANDARD, COMMENTS) and format of the protos
	$(BIN)/buf lint
	$(BIN)/buf format --diff --exit-code

.PHONY: check-breaking
check-breaking: $(READY) ## buf: no change breaks the descriptor set in the repository
	$(BIN)/buf breaking --against $(BASELINE)

.PHONY: check-generated
check-generated: $(READY) ## generated/ and docs/api.md come from the protos as they are
	$(BIN)/python -m tools.generate --check

.PHONY: check-layers
check-layers: $(READY) ## Imports point one way, the cores are pure, modules are short
	$(BIN)/python -m tools.layering

# --- To change -------------------------------------------------------------------------------------------------------

.PHONY: format
format: $(READY) ## Format code and protos, and mend what lint can mend
	$(BIN)/ruff check --quiet --fix-only .
	$(BIN)/ruff format --quiet .
	$(BIN)/buf format --write

.PHONY: proto
proto: $(READY) ## Make generated/ and docs/api.md from the protos
	$(BIN)/python -m tools.generate

.PHONY: cli-pages
cli-pages: $(READY) ## Make docs/commands/ from the command, with outputs of real servers (a minute)
	@$(BIN)/python -m tests.acceptance.cli_story

.PHONY: descriptor
descriptor: $(READY) ## Make build/: descriptor set with comments, gRPC service config
	$(BIN)/python -m tools.generate --artefacts build

.PHONY: proto-baseline
proto-baseline: $(READY) ## Move the descriptor set that check-breaking compares with
	$(BIN)/python -m tools.generate --baseline
	@echo "Moved $(BASELINE). Say in the commit why the contract may break here."

.PHONY: clean
clean: ## Remove .venv and all that was made, but for what the repository keeps
	rm -rf $(VENV) $(DOCS_VENV) build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
