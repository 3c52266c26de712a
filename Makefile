# Two commands do everything on a fresh machine:  make quickstart   make test
# Each makes .venv itself. PYTHON=python3.12 picks another interpreter (3.11 or newer for training).

# The first that runs: a name on the PATH may be a stand-in for a version that is not there.
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name && break; done)
PYTHON_BASE ?= python3.10
MINUTES ?=
STEPS ?=
IMAGES ?=
BASELINE ?=
RESULTS ?= quickstart
RUNS ?= 20000
SEED ?= 1

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
NATIVE := $(shell find bpnet/decode/csrc -type f)
FORMATTED := $(shell find bpnet/decode/csrc bpnet/export/deployment examples tests -name '*.cpp' -o -name '*.[ch]')
LINTED := bpnet tests benchmarks docs notebooks release

.PHONY: quickstart test test-base check format fuzz docs notebooks wheels test-wheels ci-full clean

quickstart: $(READY)
	$(BIN)/bpnet quickstart -r $(RESULTS) $(if $(MINUTES),--minutes $(MINUTES)) $(if $(STEPS),--steps $(STEPS)) \
		$(if $(IMAGES),--images $(IMAGES)) $(if $(BASELINE),--baseline $(BASELINE))

test: $(READY)
	$(BIN)/python -m pytest

# The base install on the oldest Python, without TensorFlow.
test-base: $(READY)
	.ci/base_install $(PYTHON_BASE)

check: $(READY)
	$(BIN)/ruff check $(LINTED)
	$(BIN)/ruff format --check $(LINTED)
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run --Werror $(FORMATTED)

format: $(READY)
	$(BIN)/ruff check --fix $(LINTED)
	$(BIN)/ruff format $(LINTED)
	$(BIN)/clang-format -i $(FORMATTED)

# The decoder under sanitizers, for as long as you like.
fuzz: $(READY)
	BPNET_FUZZ_RUNS=$(RUNS) BPNET_FUZZ_SEED=$(SEED) $(BIN)/python -m pytest tests/test_decode_fuzz.py

# The documentation site, into build/site.
docs: $(READY)
	$(BIN)/python -m pip install --quiet --editable ".[docs]"
	$(BIN)/python docs/make_reference.py
	$(BIN)/python -m sphinx --fail-on-warning --keep-going docs build/site

# Every notebook, executed small.
notebooks: $(READY)
	$(BIN)/python -m pip install --quiet --editable ".[notebooks]"
	BPNET_NOTEBOOKS=1 $(BIN)/python -m pytest tests/test_notebooks.py

# Source archive and wheels into dist/.
wheels:
	release/build_wheels $(PYTHONS)

# The tests against the wheels, from outside the source tree.
test-wheels: wheels
	release/test_wheel $(PYTHON_BASE) base
	release/test_wheel $(PYTHON) train

ci-full: check docs test test-base test-wheels quickstart notebooks
	BPNET_QUICKSTART=$(RESULTS) $(BIN)/python -m pytest tests/test_docs_run.py

# Made anew when the dependencies or the native code change.
$(READY): pyproject.toml $(NATIVE)
	@test -n "$(PYTHON)" || { echo "no Python 3.11 or newer was found: make PYTHON=..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable ".[train,dev]"
	touch $@

clean:
	rm -rf $(VENV) build dist $(RESULTS)
