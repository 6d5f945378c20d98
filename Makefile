# Every target first creates or completes .venv at the root with the extras it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
DEVICE ?= cpu
INPUTS := pyproject.toml constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo survey test test-all test-long test-container test-cuda test-ray lint types protos-check stubs bench bench-volume bench-steps \
        bench-resample bench-serving bench-complexity bench-patterns bench-slice bench-bank bench-efficiency train clean

help: ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)

# One stamp for each set of extras: an edit of the inputs installs again.
$(VENV)/.installed-%: $(INPUTS) | $(BIN)/python
	$(PIP) install --quiet --constraint constraints.txt --editable '.[$*]'
	@touch $@

demo: $(VENV)/.installed-demo ## The main job on the bundled generator over real gRPC; writes demo/
	$(BIN)/python -m examples.demo --out demo

survey: $(VENV)/.installed-demo ## The survey's figures, made again; writes build/survey/
	$(BIN)/python -m examples.survey --out build/survey

test: $(VENV)/.installed-test ## The tests, a seeded sample of the long suites among them
	$(BIN)/python -m pytest -q -n 2 -m 'not long and not cuda and not ray'

test-all: test test-long test-ray test-container ## Everything, 45 minutes at most

test-long: $(VENV)/.installed-test ## Whole property sweeps, fuzz and fault suites
	$(BIN)/python -m pytest -q -n 2 -m 'long and not cuda and not ray' --timeout 1200

test-container: $(VENV)/.installed-dev ## Lints the Dockerfile and, where buildah and root are at hand, builds and runs it
	$(BIN)/hadolint Dockerfile
	bash tests/container/run

test-cuda: $(VENV)/.installed-test ## The tests that need a CUDA device
	$(BIN)/python -m pytest -q -n 0 -m cuda

test-ray: $(VENV)/.installed-test ## The tests that start a Ray cluster on this machine
	$(BIN)/python -m pytest -q -n 0 -m ray

lint: $(VENV)/.installed-dev ## ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev ## mypy --strict
	$(BIN)/mypy

protos-check: $(VENV)/.installed-dev ## buf lint and format; the committed stubs equal fresh ones
	$(BIN)/buf lint
	$(BIN)/buf format --diff --exit-code --path protos/magnet
	$(BIN)/python tools/stubs.py --check

stubs: $(VENV)/.installed-dev ## Generates the stubs again
	$(BIN)/python tools/stubs.py

bench: bench-volume bench-resample bench-serving bench-complexity bench-patterns bench-slice bench-bank ## All benchmarks but bench-efficiency; leaves build/bench/NAME.json

bench-volume: $(VENV)/.installed-test ## Volumes against vmap(jacfwd) + svdvals and the official recipe
	$(BIN)/python -m benchmarks.volume --device $(DEVICE) --json build/bench/volume.json

bench-steps: $(VENV)/.installed-test ## What each step of the volume engine gains
	$(BIN)/python -m benchmarks.steps --json build/bench/steps.json

bench-resample: $(VENV)/.installed-test ## Resampling against numpy's choice
	$(BIN)/python -m benchmarks.resample --json build/bench/resample.json

bench-serving: $(VENV)/.installed-test ## Health latency while a bank builds; streaming throughput
	$(BIN)/python -m benchmarks.serving --json build/bench/serving.json

bench-complexity: $(VENV)/.installed-test ## Local complexity against as many plain forwards
	$(BIN)/python -m benchmarks.complexity --json build/bench/complexity.json

bench-patterns: $(VENV)/.installed-test ## Nearest activation patterns against numpy's bitwise_count and scipy's cdist
	$(BIN)/python -m benchmarks.patterns --json build/bench/patterns.json

bench-slice: $(VENV)/.installed-test ## Exact slices against regioncam, and alone to a million tiles
	$(BIN)/python -m benchmarks.slice --json build/bench/slice.json

bench-bank: $(VENV)/.installed-test ## A new rho over a bank of ten million rows, cold and warm, against a plain read of the column
	$(BIN)/python -m benchmarks.bank --json build/bench/bank.json

bench-efficiency: $(VENV)/.installed-test ## Effective draws for 1,000 evaluations by method (up to 40 minutes; not part of bench)
	$(BIN)/python -m benchmarks.efficiency --json build/bench/efficiency.json

train: $(VENV)/.installed-test ## Trains the bundled generators again (about an hour on two cores); see training/README.md
	$(BIN)/python -m training.classifier
	$(BIN)/python -m training.fashion
	$(BIN)/python -m training.rings
	$(BIN)/python -m training.export
	$(BIN)/python -m training.evaluate

clean: ## Removes what the targets made
	rm -rf $(VENV) build demo dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
