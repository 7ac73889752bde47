# Two commands: `make demo` shows a cluster, `make test` runs the tests; both set up all they need.
# `make help` lists the rest.

PYTHON ?=
export PYTHON
# Compiled modules are kept, also where the environment forbids it: else each of the hundreds of processes that the
# tests start compiles the product for itself.
export PYTHONDONTWRITEBYTECODE :=
T ?= tests
JOBS ?= 4
QUICK_JOBS ?= 2
SIM_SEEDS ?= 1000
SIM_HOURS ?= 1
RUNS ?= 30
SEQUENCES ?= 20
EVENTS ?= 1000000
MINUTES ?= 10
SECONDS ?= 5
ARGS ?=
BIN := .venv/bin
SETUP := scripts/setup

.DEFAULT_GOAL := help
.PHONY: help env demo dev servers quick quick-unit-1 quick-unit-2 quick-sim test long check all sim-gate-beside fuzz-beside newest-beside newest fuzz lint-beside thorough build coverage lint style format types types-windows layers sim-gate sim sim-long sim-requests plants faults faults-random faults-times address-failovers sentinel from-nothing fault-table hardened hostile sessions-outlive ledger-faults siem-faults vault-checkouts vault-keys vault-canaries vault-expiry vault-sql-away vault-to-token vault-beside bench console console-failovers console-times docs lock clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1	/p' $(MAKEFILE_LIST) | expand -t 20

env: ## .venv with the rppam command in it
	@$(SETUP) runtime

demo: env ## run a cluster on this machine and follow it (ARGS="--nodes 5"); without a terminal for 20 s
	@if [ -t 0 ] && [ -t 1 ]; then exec $(BIN)/rppam demo $(ARGS); \
	else exec $(BIN)/rppam demo --for 20 $(ARGS); fi

dev: ## .venv with the tools of `make check`
	@$(SETUP) dev

servers: ## the servers that the tests run against, by apt where root or sudo is there
	@$(SETUP) servers

test: dev servers ## the tests, but not those of `make long`, `make sentinel` and `make faults` (T=tests/cluster JOBS=1)
	@$(BIN)/python scripts/run_tests.py $(T) --jobs $(JOBS) $(ARGS)

long: dev servers ## the tests that cost much and tell little that the others do not, as `make test` runs those
	@$(BIN)/python scripts/run_tests.py $(T) --jobs $(JOBS) --long $(ARGS)

sentinel: dev servers ## the tests that wait for elections among real Sentinels, one at a time; some minutes
	$(BIN)/pytest tests -m sentinel $(ARGS)

from-nothing: dev servers ## types docs/operations/three-nodes.md, from-nothing.md and what follows it on hosts of their own; some minutes
	FROM_NOTHING=1 $(BIN)/pytest tests/setup/test_three_nodes.py tests/setup/test_from_nothing.py -s $(ARGS)

quick: dev ## the inner loop: style, types, layers, unit tests and 50 simulated clusters, side by side
	@$(MAKE) --no-print-directory --jobs $(QUICK_JOBS) --output-sync=target style types quick-unit-1 layers quick-unit-2 quick-sim

quick-unit-1 quick-unit-2: quick-unit-%: dev # a share each: workers of one run would each import all files
	@$(BIN)/python scripts/run_tests.py --unit --marked "not late" --share $*/2 --jobs 0 --hypothesis-profile quick --cache .pytest_cache/$@

quick-sim: dev
	@$(BIN)/python scripts/sim_gate.py --seeds 50 --hours $(SIM_HOURS) --kept

coverage: dev ## the unit tests, and how much of the code they reach
	$(BIN)/coverage run scripts/run_tests.py --here --unit
	@$(BIN)/coverage report --skip-covered --sort=cover | tail -n 40

build: dev ## wheel and sdist in dist/, installed into an empty environment and run there
	@$(BIN)/python scripts/build.py

check: dev servers ## the gate: what has to pass before anything lands; `make all` is more
	@$(MAKE) --no-print-directory --jobs 6 sim-gate-beside fuzz-beside newest-beside lint-beside test

all: dev servers ## everything, for a release and once a day: the gate, `make long` and `make sentinel`
	@failed=; for part in check long sentinel; do $(MAKE) --no-print-directory $$part || failed="$$failed $$part"; done; \
	if [ -n "$$failed" ]; then echo "FAILED:$$failed"; exit 1; fi

sim-gate-beside: # with the processor time that tests leave, which wait most of the time; compiled, it takes half of it
	@nice -n 19 $(BIN)/python scripts/sim_gate.py --seeds $(SIM_SEEDS) --hours $(SIM_HOURS) --compiled --unless-passed

fuzz-beside:
	@$(BIN)/python -m tests.http.fuzzing --of-the-document

newest-beside: # with the processor time that tests leave
	@nice -n 19 $(MAKE) --no-print-directory newest

newest: dev servers ## the unit tests on the newest Python, where .venv is of an older one
	@$(SETUP) newest
	@$(BIN)/python scripts/on_newest.py

fuzz: dev servers ## a real node, asked all kinds of things by what its OpenAPI document says (ARGS="--seconds 600 --seed 7")
	@$(BIN)/python -m tests.http.fuzzing $(ARGS)

lint-beside:
	@nice -n 19 $(MAKE) --no-print-directory lint

thorough: dev servers ## the tests that draw their examples by chance, with 20 times as many
	@$(BIN)/python scripts/run_tests.py $(T) --jobs $(JOBS) --all --marked hypothesis --hypothesis-profile thorough $(ARGS)

lint: dev ## style, types and layers, side by side
	@$(MAKE) --no-print-directory $(if $(findstring jobserver,$(MAKEFLAGS)),,--jobs 2) --output-sync=target types types-windows style layers

style: dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: dev
	$(BIN)/mypy

types-windows: dev # with a cache of its own: mypy forgets all that it knows when the platform changes
	$(BIN)/mypy --platform win32 --package rppam --cache-dir .mypy_cache/win32

layers: dev
	$(BIN)/lint-imports

format: dev ## rewrite what the formatter and the linter can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

sim-gate: env ## SIM_SEEDS simulated clusters of every policy, size and store for SIM_HOURS each (ARGS="--compiled --record")
	@$(BIN)/python scripts/sim_gate.py --seeds $(SIM_SEEDS) --hours $(SIM_HOURS) $(ARGS)

plants: dev ## search a seed for each planted bug and record it for the tests; some minutes
	@$(BIN)/python scripts/plant_seeds.py $(ARGS)

sim-long: dev ## 50,000 cluster-hours in batches; ended and started again, it goes on (ARGS="--hours 1000 --compiled")
	$(BIN)/python scripts/sim_long.py $(ARGS)

sim-requests: dev ## 1,000,000 interleavings of requests for access, some minutes (ARGS="--interleavings 10000")
	$(BIN)/python scripts/sim_requests.py $(ARGS)

sim: env ## the simulation as you like it (ARGS="--seeds 20000 --nodes 5")
	$(BIN)/rppam simulate $(ARGS)

faults: dev servers ## real processes killed, frozen and robbed of their Redis, with numbers (RUNS=30)
	FAULT_RUNS=$(RUNS) $(BIN)/pytest tests/faults -s $(ARGS)

faults-random: dev servers ## SEQUENCES random fault sequences of 30 s; ended and started again, it goes on
	$(BIN)/python -m tests.faults.lab.randomly --sequences $(SEQUENCES) $(ARGS)

faults-times: dev servers ## each kind of failover RUNS times on hosts of their own: p50, p99 and the largest
	$(BIN)/python -m tests.faults.lab.series --runs $(RUNS) $(ARGS)

address-failovers: dev servers ## failovers as a client sees them: RUNS of each kind, by the address, behind balancers, by name
	$(BIN)/python -m tests.faults.lab.through --runs $(RUNS) $(ARGS)

ledger-faults: dev servers ## acts and their events held against each other over SEQUENCES random kill sequences
	$(BIN)/python benchmarks/ledger_under_fire.py --sequences $(SEQUENCES) $(ARGS)

siem-faults: dev servers ## EVENTS events to a real rsyslog over TLS that is killed 20 times: none missing, order kept
	$(BIN)/python benchmarks/siem_rsyslog.py --events $(EVENTS) $(ARGS)

fault-table: dev servers ## play every fault of Redis to a real node and write docs/reference/faults.md; some minutes
	$(BIN)/python -m tests.doctor.fault_table.table

hostile: dev servers ## a Redis that lies to all nodes of a cluster, SECONDS for each of its lies; memory, /live, leader
	HOSTILE_S=$(SECONDS) $(BIN)/pytest tests/redis/hostile $(ARGS)

vault-checkouts: dev servers ## 10,000 racing check-outs, by processes and over three nodes under fire: no double grant
	$(BIN)/python benchmarks/checkouts.py $(ARGS)
	$(BIN)/python benchmarks/checkouts_under_fire.py $(ARGS)

vault-keys: dev servers ## the key of 100,000 entries rotated under readers, killed 10 times: no failed read; some minutes
	$(BIN)/python benchmarks/vault_keys.py $(ARGS)

vault-canaries: dev servers ## secrets planted along every way of the vault, and searched for wherever anything is written
	$(BIN)/python -m benchmarks.vault_canaries $(ARGS)

vault-expiry: dev servers ## how soon a check-out is over on every node, with Redis and without
	$(BIN)/python -m benchmarks.vault_expiry $(ARGS)

vault-sql-away: dev servers ## both databases cut at each commit of each act of the vault, of what stands around it, and of requests
	RPPAM_SQL_AWAY=all $(BIN)/pytest tests/vault/test_sql_away.py tests/vault/test_sql_away_beside.py -q -n0 -s $(ARGS)

vault-to-token: dev servers ## the master key from a file into a token, node by node, under readers: no failed read
	$(BIN)/python -m benchmarks.vault_to_token $(ARGS)

vault-beside: servers ## secrets shown, and check-outs, a second, beside OpenBao's on this machine
	@$(SETUP) bench
	$(BIN)/python -m benchmarks.vault_beside $(ARGS)
	$(BIN)/python -m benchmarks.checkouts_beside $(ARGS)

hardened: dev servers ## a cluster MINUTES minutes on a Redis hardened as the article asks: one leader, nothing denied
	$(BIN)/python benchmarks/hardened_run.py --minutes $(MINUTES) $(ARGS)

sessions-outlive: dev servers ## a shell through 20 deaths of its gateways and nodes: each line shown, typed, recorded once
	$(BIN)/python -m benchmarks.sessions_outlive $(ARGS)

bench: servers ## the measurements behind docs/decisions
	@$(SETUP) bench
	$(BIN)/python benchmarks/run.py $(ARGS)

console: dev ## build the pages of the console from console/ (needs Node and npm)
	$(BIN)/python scripts/console_build.py

console-failovers: dev ## 20 failovers of the node that serves an open tab with a terminal; a quarter of an hour
	RPPAM_CONSOLE_FAILOVERS=20 $(BIN)/pytest tests/console/test_sessions.py -k failovers -q -n0

console-times: dev servers ## bytes of the first load, and the largest paint of the start, cluster, vault and audit pages
	$(BIN)/python -m benchmarks.console $(ARGS)

docs: dev ## write the generated references anew
	$(BIN)/python -m scripts.references
	$(BIN)/python scripts/stories.py
	$(BIN)/python scripts/election_page.py

lock: dev ## write the lock files anew (LOCK_ARGS=--upgrade moves versions)
	$(BIN)/python -m pip install --quiet "uv>=0.9"
	scripts/lock.sh

clean: ## remove the environment and what tools left
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
