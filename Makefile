# Everything a person runs. `make demo` and `make test` set up all they need, from Python 3.11+, make and the package
# registries alone: no Docker, no root.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

EVENTS ?= 1000000
SEEDS ?= 2000
START ?= 1
INPUTS ?= 10000000
SAMPLE ?= 0
JOBS ?= $(shell nproc)
FAULTS ?= 200
BUDGET ?= 15
BASE ?= main
PAIRS ?= 5
SEED ?= 1
REPORT ?= .tollstream/chaos.json

.PHONY: help setup demo test lint bench bench-full bench-compare bench-rating bench-peers simulate chaos fuzz mutants \
	kernel clean
help: ## show this
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): requirements/lock.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Tollstream needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 ..."; exit 2; }
	@$(PYTHON) -c 'import ensurepip' || { echo "this Python cannot make environments: on Debian, apt-get install python3-venv"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/lock.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

setup: $(READY) ## make the virtual environment, every package pinned with its hash

demo: $(READY) ## the main job, a million events, one worker killed half way: then every total is checked
	$(BIN)/python -m demo --events $(EVENTS)

test: $(READY) ## the whole suite
	$(BIN)/python -m pytest

lint: $(READY) ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(READY) ## what it costs on this machine: one table, in three minutes
	$(BIN)/python -m benchmarks

bench-full: $(READY) ## all of it, on Apache Kafka, in at most BUDGET minutes; tables and plots go to docs/
	$(BIN)/python -m benchmarks --size full --budget $(BUDGET)
	$(BIN)/python -m benchmarks --markdown

bench-compare: $(READY) ## each step here beside BASE (a git ref), PAIRS runs of both in turn
	$(BIN)/python -m benchmarks.compare $(BASE) --pairs $(PAIRS)

bench-rating: $(READY) ## what pricing costs, and a restore from the log
	$(BIN)/python -m benchmarks.rating
	$(BIN)/python -m benchmarks.rating_period
	$(BIN)/python -m benchmarks.recovery

simulate: $(READY) ## all of it under simulated faults: SEEDS runs from START on, JOBS at a time
	$(BIN)/python -m tests.simulation.simulate --start $(START) --seeds $(SEEDS) --jobs $(JOBS)

chaos: $(READY) ## FAULTS real faults from SEED, on Apache Kafka, Valkey and ClickHouse; a report in REPORT
	@mkdir -p $(dir $(REPORT))
	$(BIN)/python -m tests.chaos --faults $(FAULTS) --seed $(SEED) --report $(REPORT)

fuzz: $(READY) ## the decoder and the checkpoint loader: INPUTS mutated inputs from SEED, JOBS processes
	$(BIN)/python -m tests.fuzz --inputs $(INPUTS) --seed $(SEED) --jobs $(JOBS)

# mutmut needs a newer click than Faust takes, so it has an environment of its own on top of ours.
.venv-mutants/.ready: requirements/mutants.txt $(READY)
	$(BIN)/python -m venv .venv-mutants
	.venv-mutants/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/mutants.txt
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > $$(echo .venv-mutants/lib/python*/site-packages)/main.pth
	@touch $@

mutants: .venv-mutants/.ready ## changes to the core that no test notices: SAMPLE of them (0: all), FILES="rating/money.py"
	.venv-mutants/bin/python -m tests.mutants --sample $(SAMPLE) --seed $(SEED) $(addprefix --file ,$(FILES))

# The peers want other versions of what we have, and bring a hundred packages: an environment of their own, 1.7 GB.
.venv-peers/.ready: requirements/peers.txt $(READY)
	$(BIN)/python -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/peers.txt
	@touch $@

bench-peers: .venv-peers/.ready ## the meter stage beside Faust, Quix Streams, Bytewax, Pathway and a hand-written loop
	$(BIN)/python -m benchmarks.peers

.venv-kernel/.ready: requirements/kernel.txt $(READY)
	$(BIN)/python -m venv .venv-kernel
	.venv-kernel/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/kernel.txt
	@touch $@

# The crates with their hashes are pinned in crates.lock, which names no registry: cargo says itself where it finds them.
kernel/Cargo.lock: kernel/crates.lock kernel/Cargo.toml
	@rm -f $@
	@cargo generate-lockfile --quiet --manifest-path kernel/Cargo.toml
	@source=$$(grep -m1 '^source' $@) && awk -v source="$$source" '/^checksum/ { print source } 1' $< > $@.pinned && mv $@.pinned $@

# Its own tests run in release form: a compiler that optimises wrongly has been met. Then it is compared with the Python
# decoder before anything uses it.
kernel: .venv-kernel/.ready ## the decoder compiled, for a fraction of its CPU (needs Rust; everything runs without it too)
	@command -v cargo > /dev/null || { echo "the kernel needs Rust's cargo; without the kernel everything runs as well"; exit 2; }
	@$(MAKE) --no-print-directory kernel/Cargo.lock
	PYO3_PYTHON=$(CURDIR)/$(BIN)/python cargo test --quiet --release --locked --manifest-path kernel/Cargo.toml
	rm -rf kernel/dist
	.venv-kernel/bin/maturin build --quiet --release --locked --manifest-path kernel/Cargo.toml --interpreter $(CURDIR)/$(BIN)/python --out kernel/dist
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-index --force-reinstall kernel/dist/*.whl
	$(BIN)/python -m pytest -q tests/unit/test_kernel_agrees.py

clean: ## remove the environment and all state
	rm -rf $(VENV) .tollstream .venv-mutants .venv-peers .mutants .venv-kernel kernel/target kernel/dist
