# The commands of this repository; `make` alone lists them. Each installs what it needs, once, into .venv: a virtual
# environment of its own, whatever environment is active. PYTHON=python3.12 chooses another interpreter for it,
# ARGS="..." is handed to the command that a target runs.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
# A path of the caller's would come before ours, and `models` and `streams` are names that others use, too.
unexport PYTHONPATH PYTHONHOME

VENV := .venv
PY := $(VENV)/bin/python
PEERS := .venv-peers
VLLM := .venv-vllm
SCALE := --full
BENCH_SERVERS := RUN_FOLDER=$(CURDIR)/.run/bench COMPOSE_PROJECT_NAME=seren-bench
PIP_INSTALL := $(PY) -m pip install --quiet --disable-pip-version-check --no-input
ARGS ?=
# The first of these that is Python 3.11 or later.
PYTHON ?= $(firstword $(foreach name,python3.11 python3 python3.12 python3.13,$(shell \
  $(name) -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $(name))))
# Files that import torch, atheris, or a tool of the benchmark's peers, at their top can be collected only where that is installed.
TORCH_FILES = $(shell grep -rlE --include='*.py' '^(import|from) (torch|transformers|trl|peft|accelerate|datasets|pyarrow|vllm|safetensors|atheris)' models streams)
PEER_FILES = $(shell grep -rlE --include='*.py' '^(import|from) (quixstreams|bytewax|matplotlib)' streams/bench)
UNIT := not integration and not train and not otel and not vllm

.PHONY: help
help: ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

.PHONY: setup
setup: $(VENV)/.dev ## Install the project and its development tools into .venv

.PHONY: demo
demo: $(VENV)/.run ## The whole walk on a recorded log: embedded broker and Redis, no set-up
	@$(VENV)/bin/seren demo $(ARGS)

.PHONY: test
test: $(VENV)/.dev ## Unit tests and doctests; no services, no torch
	@$(PY) -m pytest -m "$(UNIT)" --doctest-modules $(addprefix --ignore=,$(TORCH_FILES) $(PEER_FILES)) $(ARGS)

.PHONY: test-train
test-train: $(VENV)/.train ## Tests of training and of the torch engine (installs torch)
	@$(PY) -m pytest -m "train" $(ARGS)

.PHONY: test-vllm
test-vllm: $(VLLM)/.made ## Tests of the vLLM engine, with its build for the CPU in an environment of its own (5 GB)
	@$(VLLM)/bin/python -m pytest -m "vllm" -W ignore tests/models/serengpt tests/streams/engines $(ARGS)

.PHONY: test-otel
test-otel: $(VENV)/.otel ## Tests of the spans, exported to a collector of their own (installs OpenTelemetry)
	@$(PY) -m pytest -m "otel" tests/otel $(ARGS)

.PHONY: itest
itest: $(VENV)/.dev ## Tests against real Kafka and Redis, which `make up` starts
	@$(PY) -m pytest -m "integration" tests/integration $(ARGS)

.PHONY: chaos-sim
chaos-sim: $(VENV)/.run ## 100,000 simulated worlds in which workers, Redis and the broker fail
	@$(PY) -m streams.simulation --seeds 100000 $(ARGS)

.PHONY: fuzz
fuzz: $(VENV)/.fuzz ## Ten minutes of coverage-guided fuzzing of all that reads foreign bytes (ARGS="--minutes 60")
	@$(PY) -m streams.fuzz $(ARGS)

.PHONY: chaos
chaos: $(VENV)/.run ## 15 minutes of real workers, Kafka and Redis, 100 of them killed at random, and a verifier
	@$(PY) -m streams.chaos --minutes 15 --kills 100 $(ARGS)

.PHONY: chaos-short
chaos-short: $(VENV)/.run ## The same for two minutes, bounded to four in all
	@timeout --kill-after=10s 4m $(PY) -m streams.chaos --minutes 2 --kills 14 --drain-minutes 1 --seed 1 $(ARGS)

.PHONY: overload
overload: $(VENV)/.run ## Ten times what the workers bear for ten minutes: memory, loss, recovery
	@$(PY) -m streams.chaos.overload --minutes 10 $(ARGS)

.PHONY: lint
lint: $(VENV)/.dev ## ruff, mypy, import-linter; changes nothing
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(PY) -m mypy
	@$(VENV)/bin/lint-imports

.PHONY: fmt
fmt: $(VENV)/.dev ## Format the code and mend what ruff can mend
	@$(VENV)/bin/ruff check --fix .
	@$(VENV)/bin/ruff format .

.PHONY: check
check: lint test ## lint and test

.PHONY: native
native: $(VENV)/.dev ## Compile the hot path with mypyc (needs a C compiler): the same bytes, in less time
	@$(PY) -m streams.native

.PHONY: pure
pure: $(VENV)/.run ## Remove what `make native` has made
	@$(PY) -m streams.native --pure

.PHONY: test-native
test-native: native ## The laws of profiles and partitions, and 500 simulated worlds, on the compiled hot path
	@$(PY) -m pytest tests/models/profiles tests/models/test_serendipity.py tests/streams/test_partition*.py \
	  tests/streams/test_checkpoint.py tests/streams/agents/test_profiles_*.py $(ARGS)
	@$(PY) -m streams.simulation --seeds 500

.PHONY: bench
bench: $(VENV)/.run ## Throughput and latency on this machine; then beside its peers; then by users (with ARGS: seren bench alone)
	@$(VENV)/bin/seren bench $(ARGS)
ifeq ($(ARGS),)
	@if $(BENCH_SERVERS) infra/local/up.sh; then $(MAKE) bench-peers; else echo "No Kafka here: not beside the peers." >&2; fi
	@$(MAKE) bench-scale SCALE=
endif

.PHONY: bench-peers
bench-peers: $(VENV)/.run $(PEERS)/.made ## Our worker beside Quix Streams, Bytewax, Faust, aiokafka on a Kafka of its own
	@$(BENCH_SERVERS) infra/local/up.sh
	@trap '$(BENCH_SERVERS) infra/local/down.sh' EXIT; set -a; source .run/bench/env; $(PY) -m streams.bench.peers --python $(PEERS)/bin/python $(ARGS)

.PHONY: bench-scale
bench-scale: $(VENV)/.run $(PEERS)/.made ## What an event costs with 10 thousand to 10 million users (a quarter of an hour, 11 GB)
	@$(PY) -m streams.bench.scale --python $(PEERS)/bin/python $(SCALE) $(ARGS)

.PHONY: train-small
train-small: $(VENV)/.train ## The small SerenGPT from the shipped log: data, SFT, pairs, IPO, measures, gate; in .run/train-small
	@$(VENV)/bin/seren train small --out .run/train-small $(ARGS)

.PHONY: ablate
ablate: $(VENV)/.run ## One table of all checkpoints of a folder and the baselines: make ablate FOLDER=... (ARGS="--sasrec ... --out ...")
	@$(VENV)/bin/seren evaluate ablation $(FOLDER) $(ARGS)

.PHONY: train-gpu
train-gpu: $(VENV)/.train ## The same recipe with a network of 82 million parameters, for one GPU (infra/gpu/README.md)
	@$(VENV)/bin/seren train small --size base --out .run/train-gpu $(ARGS)

.PHONY: up
up: ## Start real Kafka and Redis on loopback (Docker, else JDK 17 and Maven); addresses in .run/env
	@infra/local/up.sh

.PHONY: down
down: ## Stop them and remove their data
	@infra/local/down.sh

.PHONY: clean
clean: down ## Remove .venv, caches and everything else that make has made
	@if [ -d .run/bench ]; then $(BENCH_SERVERS) infra/local/down.sh; fi
	@rm -rf *__mypyc.*.so $(VENV) $(PEERS) $(VLLM) .run infra/kafka/target build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find models streams -name '*.so' -delete
	@find models streams tests -name __pycache__ -type d -prune -exec rm -rf {} +

# ---- the peers of the benchmark: their tools and servers are nobody else's

$(PEERS)/.made: infra/bench/requirements.txt | $(VENV)/.made
	@echo "Installing the benchmark's peers into $(PEERS) (once; a minute) ..." >&2
	@$(PY) -m venv --clear $(PEERS)
	@$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --no-input --requirement $<
	@touch $@

# ---- vLLM's build for the CPU asks for other releases than seren's own environment has

$(VLLM)/.made: infra/vllm/requirements.txt pyproject.toml | $(VENV)/.made
	@echo "Installing vLLM's build for the CPU into $(VLLM) (once; a few minutes, 5 GB) ..." >&2
	@$(PY) -m venv --clear $(VLLM)
	@$(VLLM)/bin/python -m pip install --quiet --disable-pip-version-check --no-input --no-deps --requirement $<
	@$(VLLM)/bin/python -m pip install --quiet --disable-pip-version-check --no-input --no-deps --editable .
	@touch $@

# ---- the environment: installed again when pyproject.toml changes

$(VENV)/.made:
	@[ -n "$(PYTHON)" ] || { echo "error: no Python 3.11 or later on PATH; install it, or say make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "error: $(PYTHON) lacks venv or ensurepip; install Debian's package python3-venv" >&2; exit 1; }
	@echo "Making $(VENV) with $$($(PYTHON) --version) ..." >&2
	@$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/.run: pyproject.toml | $(VENV)/.made
	@echo "Installing seren into $(VENV) (once; a minute or two) ..." >&2
	@$(PIP_INSTALL) --editable .
	@touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/.made
	@echo "Installing seren and its development tools into $(VENV) (once; a minute or two) ..." >&2
	@$(PIP_INSTALL) --editable '.[dev]'
	@touch $(VENV)/.run $@

$(VENV)/.fuzz: pyproject.toml | $(VENV)/.made
	@echo "Installing seren with atheris into $(VENV) (once; a minute or two) ..." >&2
	@$(PIP_INSTALL) --editable '.[fuzz]'
	@touch $(VENV)/.run $@

$(VENV)/.otel: pyproject.toml | $(VENV)/.made
	@echo "Installing seren with OpenTelemetry into $(VENV) (once; a minute) ..." >&2
	@$(PIP_INSTALL) --editable '.[dev,otel]'
	@touch $(VENV)/.run $(VENV)/.dev $@

$(VENV)/.train: pyproject.toml | $(VENV)/.made
	@echo "Installing seren with torch into $(VENV) (once; several minutes and GB) ..." >&2
	@$(PIP_INSTALL) --editable '.[dev,train]'
	@touch $(VENV)/.run $(VENV)/.dev $@
