# Every target sets up what it lacks; all it needs is make and Python 3.11 or newer.
# Another Python: make PYTHON=/path/to/python setup

VENV := .venv
BIN := $(VENV)/bin
PINS := requirements.txt tests/requirements.txt
READY := $(VENV)/.ready
# Each file stays with one worker, which makes what its tests share once; much of the long run waits.
PYTEST := $(BIN)/pytest --dist loadfile --no-loadscope-reorder --ignore tests/ground
OUT := out

NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11 python; do \
	"$$name" -c "$(NEW_ENOUGH)" >/dev/null 2>&1 && command -v "$$name" && break; done)
# Tests start many processes; without kept bytecode each would compile everything anew.
export PYTHONDONTWRITEBYTECODE :=
UV := $(shell uv --version >/dev/null 2>&1 && echo uv)

.PHONY: help setup demo lab check test test-long bench fix

help: ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1	\2/p' Makefile | expand -t 18

setup: $(READY) ## make the virtual environment .venv from the exact pins

demo: $(READY) ## triage an incident on made-up data: a verdict and an HTML report
	@$(BIN)/runbook run incident_triage --sandbox --fail-on never --out $(OUT)

lab: $(READY) ## open the notebooks in JupyterLab, on made-up data
	$(BIN)/jupyter lab notebooks

check: $(READY) ## format, lint, types, layers, notebooks, documentation
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --no-cache
	$(BIN)/pytest -o verbosity_assertions=2 tests/ground

test: check ## everything above and the short run of the tests
	$(PYTEST) -n 2 -m "not long"

test-long: check ## everything above and all tests
	$(PYTEST) -n 3

bench: $(READY) ## print the figures of the benchmark
	$(BIN)/python tests/perf/bench.py

fix: $(READY) ## repair format and what lint can repair by itself
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(READY): $(PINS) pyproject.toml
	@test -n "$(PYTHON)" && "$(PYTHON)" -c "$(NEW_ENOUGH)" || { \
		echo "Python 3.11 or newer is needed, and none was found (python3 is: $$(python3 -V 2>&1))."; \
		echo "Install one, or name it: make PYTHON=/path/to/python setup"; exit 2; } >&2
	@$(BIN)/python -c "$(NEW_ENOUGH)" 2>/dev/null || { rm -rf $(VENV); \
		if [ "$(UV)" ]; then uv venv --quiet --python "$(PYTHON)" $(VENV); \
		else "$(PYTHON)" -m venv $(VENV); fi; } || { \
		echo "No virtual environment could be made; on Debian: apt-get install python3-venv" >&2; exit 2; }
ifdef UV
	uv pip install --quiet --python $(BIN)/python $(addprefix -r ,$(PINS))
	uv pip install --quiet --python $(BIN)/python --no-deps -e .
else
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip
	$(BIN)/python -m pip install --quiet $(addprefix -r ,$(PINS))
	$(BIN)/python -m pip install --quiet --no-deps -e .
endif
	@touch $@
