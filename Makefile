# Every target does its own set-up: a virtual environment in .venv with the versions of
# constraints.txt. It is built once and again only when pyproject.toml or constraints.txt change.
#
#   make demo    the main job: data, training, solution, comparison, report
#   make test    lint, types and the test suite
#   make bench   benchmarks of speed
#   make docs    the documentation, in outputs/docs
#   make reproduce  every table of the README and every reference figure (an hour and more)
#   make models  the data set and the trained closures that data/closures holds, in outputs/models
#
# PYTHON chooses the interpreter, PIP_ARGS adds options of pip install, e.g. another index.

PYTHON ?= python3
PIP_ARGS ?=
WORKERS ?= 2
DEMO_DIR ?= outputs/demo

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help setup demo lint test bench docs models reproduce clean
.DEFAULT_GOAL := help

help:
	@sed -n 's/^#   //p' Makefile

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) \
		-c constraints.txt -e ".[dev,docs]"
	touch $@

setup: $(STAMP)

demo: $(STAMP)
	$(BIN)/closures demo hydra.run.dir=$(DEMO_DIR)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -p no:benchmark

bench: $(STAMP)
	$(BIN)/python -m benchmarks

docs: $(STAMP)
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs outputs/docs

reproduce: $(STAMP)
	$(BIN)/python docs/reproduce.py

models: $(STAMP)
	$(BIN)/kinetic dataset dataset.trajectories=400 "dataset.families=[wave,mix]" \
		hydra.run.dir=outputs/models/data
	for MODEL in "6 few" "9 default" "12 default" "16 default"; do set -- $$MODEL; \
		$(BIN)/closures train closure.moments=$$1 train=$$2 \
		train.data=outputs/models/data/dataset.zarr hydra.run.dir=outputs/models/k$$1 || exit; done
	for GAS in "2 bgk 8 9.2 16 9 16" "2 boltzmann 9.2 9.2 12 9 16" "3 bgk 8 8 12 9"; do set -- $$GAS; \
		DIR=outputs/models/d$$1-$$2; \
		DATA="$(BIN)/kinetic dataset velocity.dim=$$1 collision=$$2 dataset.families=[wave,mix]"; \
		$$DATA velocity.extent=$$3 dataset.trajectories=120 hydra.run.dir=$$DIR && \
		$$DATA velocity.extent=$$4 dataset.trajectories=$$5 dataset.seed=500000 \
			hydra.run.dir=$$DIR-validation || exit; \
		shift 5; \
		for K in $$*; do $(BIN)/closures train closure.moments=$$K train=reduced \
			train.data=$$DIR/dataset.zarr train.validation=$$DIR-validation/dataset.zarr \
			hydra.run.dir=$$DIR-k$$K || exit; done; done

clean:
	rm -rf $(VENV) build dist outputs multirun *.egg-info
	rm -rf .pytest_cache .ruff_cache .mypy_cache .hypothesis .benchmarks
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
