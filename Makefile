# make demo   sets up .venv and runs the main example
# make test   sets up .venv, lints, type-checks and tests

PYTHON ?= python3
PYTHON_LATEST ?= python3.13
WORKERS ?= 2

VENV := .venv
LATEST := .venv-latest
INSTALL := -m pip install --quiet --disable-pip-version-check
EDITABLE := --no-build-isolation --config-settings editable_mode=strict --editable
SOURCES := $(shell find xlathe tracer compiler runtime -name '*.py' -o -name py.typed | LC_ALL=C sort)

.PHONY: setup demo test test-slow test-latest test-latest-fast bench lint format clean FORCE
.DELETE_ON_ERROR:
.SECONDARY:

setup: $(VENV)/test.stamp

demo: $(VENV)/examples.stamp
	$(VENV)/bin/python examples/quickstart.py

test: lint
	$(VENV)/bin/pytest -n $(WORKERS) -m "not slow"

test-slow: setup
	JAX_DISABLE_MOST_OPTIMIZATIONS=0 $(VENV)/bin/pytest -n $(WORKERS) -m slow

test-latest: $(LATEST)/test.stamp
	$(LATEST)/bin/pytest -n $(WORKERS) -m "not slow"

test-latest-fast: $(LATEST)/test.stamp
	$(LATEST)/bin/pytest -n $(WORKERS) -m "not slow" \
	    --ignore=tests/operations --ignore=tests/composition

bench: setup
	$(VENV)/bin/python benchmarks/dispatch.py
	$(VENV)/bin/python benchmarks/pipeline.py
	$(VENV)/bin/python benchmarks/algebra.py
	$(VENV)/bin/python benchmarks/algebra.py --grad
	$(VENV)/bin/python benchmarks/algebra.py --search

lint: setup
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/pyright --pythonpath $(VENV)/bin/python

format: setup
	$(VENV)/bin/ruff check --fix
	$(VENV)/bin/ruff format

clean:
	rm -rf $(VENV) $(LATEST) build dist *.egg-info .cache .pytest_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	python=$$(.ci/find-python 3.11 $(PYTHON) python3.13 python3.12 python3.11) \
	    && "$$python" -m venv $(VENV)

$(LATEST)/bin/python:
	python=$$(.ci/find-python 3.12 $(PYTHON_LATEST) python3.12) \
	    && case $$("$$python" --version) in (*' 3.13.'*) ;; \
	        (*) echo "No Python 3.13 here: testing with $$("$$python" --version)." >&2;; esac \
	    && "$$python" -m venv $(LATEST)

# The strict editable install is a tree of links to the files there were: a new file needs a new tree.
%/sources.txt: FORCE | %/bin/python
	@echo $(SOURCES) | tr ' ' '\n' | cmp --silent - $@ || echo $(SOURCES) | tr ' ' '\n' > $@

%/examples.stamp: pyproject.toml %/sources.txt
	$*/bin/python $(INSTALL) "setuptools>=77"
	$*/bin/python $(INSTALL) $(EDITABLE) ".[examples]"
	touch $@

%/test.stamp: pyproject.toml %/sources.txt
	$*/bin/python $(INSTALL) "setuptools>=77"
	$*/bin/python $(INSTALL) $(EDITABLE) ".[examples,test]"
	touch $@
