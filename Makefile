# `make demo` and `make test` do everything, set-up included. Needs: make, Python 3.11 or 3.12.
PYTHON ?= $(shell for p in python3.12 python3.11 python3; do "$$p" -c 'import sys; sys.exit(not (3,11) <= sys.version_info < (3,13))' 2>/dev/null && { echo "$$p"; break; }; done)
BIN := .venv/bin

.PHONY: setup servers demo test lint bench lock clean

setup: .venv/.ready

.venv/.ready: requirements.lock
	@"$(or $(PYTHON),false)" -c 'import sys; sys.exit(not (3,11) <= sys.version_info < (3,13))' 2>/dev/null || { echo "canswarm-tui needs Python 3.11 or 3.12: install one (Debian: apt install python3.11-venv) or name it: make PYTHON=/path/to/python3.12" >&2; exit 2; }
	@"$(PYTHON)" -c 'import ensurepip' 2>/dev/null || { echo "$(PYTHON) has no venv module: install it (Debian: apt install python3-venv)" >&2; exit 2; }
	"$(PYTHON)" -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable .
	@touch $@

servers: setup
	$(BIN)/canswarm-tui sandbox build

demo: setup
	$(BIN)/canswarm-tui demo

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: setup lint servers
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m "not snapshot"
	$(BIN)/python -m pytest -m snapshot

bench: setup servers
	$(BIN)/python -m benchmarks

lock: setup
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --extra sandbox --extra dev --python-version 3.11 --universal --generate-hashes --no-emit-index-url --no-header --no-annotate --prerelease=if-necessary-or-explicit --quiet -o requirements.lock

clean:
	rm -rf .venv build .mypy_cache .ruff_cache .pytest_cache
