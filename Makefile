# Everything is installed into .venv, and again only when pyproject.toml or constraints.txt has changed.
PYTHON ?= python3
BIN := .venv/bin
# The index of CPU-only torch; PyPI's torch includes gigabytes of CUDA. Skipped if it cannot be reached.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check -qq -c constraints.txt
WHEEL := $(BIN)/python -m pip wheel --disable-pip-version-check -qq -c constraints.txt -w docker/wheels -f docker/wheels

# The versions of Flower and of Python that `make test-versions` tries: of Python, those that are installed.
FLOWERS ?= 1.41 1.42
PYTHONS ?= $(shell for python in python3.11 python3.12 python3.13; do $$python -c '' 2> /dev/null && echo $$python; done; true)
# The number of kills of `make chaos`.
N ?= 100

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow test-versions chaos lint format docs wheels clean

help:  ## List the tasks
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1 | \2/p' $(MAKEFILE_LIST) | awk -F ' [|] ' '{printf "%-15s %s\n", $$1, $$2}'

demo: .venv/installed-demo  ## Run experiments/quickstart.toml: AdaFL on 30 simulated boards
	$(BIN)/fedlab run experiments/quickstart.toml

test: lint  ## Check style, types and import rules, and run the quick tests
	OMP_NUM_THREADS=1 $(BIN)/pytest -m "not slow" -n 2

test-slow: .venv/installed-test  ## Run the slow tests, which take minutes, in two processes
	OMP_NUM_THREADS=1 $(BIN)/pytest -m slow -n 2 --durations=30

test-versions:  ## Run the tests that touch Flower with each tested version of it and of Python, in environments of their own
	for python in $(PYTHONS); do for version in $(FLOWERS); do \
		env=.venv-$$(basename $$python)-flwr-$$version && echo "$$env" && \
		{ test $$env/installed -nt pyproject.toml || { $$python -m venv $$env && \
		grep -Ev '^(certifi|flwr|uv)==' constraints.txt > $$env/constraints.txt && \
		$$env/bin/python -m pip install -qq -c $$env/constraints.txt -e '.[test]' "flwr==$$version.*" && \
		touch $$env/installed; }; } && \
		OMP_NUM_THREADS=1 $$env/bin/pytest -q -m "not slow" tests/fedlab/messages tests/fedlab/server \
			tests/fedlab/simulation tests/fedlab/deploy tests/strategies && \
		$$env/bin/pytest -q -m slow tests/integration/test_flower_runtime.py tests/deployment/test_plain.py \
		|| exit 1; done; done

chaos: .venv/installed-test  ## Kill processes of small runs N times at random, resume, and compare with runs left alone
	$(BIN)/python benchmarks/chaos --kills $(N)

lint: .venv/installed-test  ## Check style, types and import rules
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/installed-test  ## Format the code
	$(BIN)/ruff check --fix --exit-zero
	$(BIN)/ruff format

docs: .venv/installed-test  ## Build the documentation into site/, which a browser opens without a network
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

wheels: .venv/installed-test  ## Download the image's packages, for a Docker engine whose builds have no network
	$(WHEEL) --no-deps $(if $(TORCH_INDEX),--extra-index-url "$(TORCH_INDEX)") torch
	$(BIN)/python docker/requirements.py pyproject.toml | $(WHEEL) -r /dev/stdin setuptools

clean:  ## Remove .venv and the caches of all tools; runs/ is kept
	rm -rf .venv build dist site *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/installed-demo: pyproject.toml constraints.txt | .venv/bin/python
	@echo "installing into .venv: a few minutes the first time"
	$(INSTALL) -e '.[demo]'
	@touch $@

.venv/installed-test: pyproject.toml constraints.txt | .venv/bin/python
	@echo "installing into .venv: a few minutes the first time"
	$(INSTALL) -e '.[test]'
	@touch $@ .venv/installed-demo
