# One command each; every target sets up what it needs. `make demo` and `make test` are all that a fresh machine needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test test-slow test-keras lint types contracts docs pictures browser bench lock clean

demo: $(READY)
	$(BIN)/palpate demo --out runs/demo

test: $(READY)
	$(BIN)/pytest -n 2

test-slow: $(READY)
	$(BIN)/pytest -m slow

test-keras: $(READY)
	test -x .venv-keras/bin/python || $(BIN)/uv venv --quiet --python $(BIN)/python .venv-keras
	$(BIN)/uv pip install --quiet --python .venv-keras/bin/python -r requirements.lock -r tests/requirements-keras.txt
	$(BIN)/uv pip install --quiet --python .venv-keras/bin/python --no-deps -e .
	CUDA_VISIBLE_DEVICES= .venv-keras/bin/python -m pytest -m keras tests/papers/wasserman2022

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(READY)
	$(BIN)/pyright

contracts: $(READY)
	$(BIN)/lint-imports --no-cache

docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict --site-dir site

pictures: $(READY)
	$(BIN)/palpate demo --out runs/demo
	$(BIN)/python docs/pictures/take.py runs/demo

browser: $(READY)
	$(BIN)/pytest -n 0 tests/report -k browser

bench: $(READY)
	$(BIN)/python benchmarks/sweep.py

lock: $(VENV)/.uv
	$(BIN)/uv pip compile --universal --python-version 3.11 --extra dev --no-header --no-annotate --no-emit-index-url \
		pyproject.toml -q -o requirements.lock

$(VENV)/.uv:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	touch $@

$(READY): $(VENV)/.uv requirements.lock pyproject.toml
	$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -e .
	touch $@

clean:
	rm -rf $(VENV) .venv-keras runs dist
