# Two commands: `make demo` and `make test`; both make .venv and install first, once.
PYTHON ?= python3.11
BIN := .venv/bin

.PHONY: setup demo test lint clean
setup: .venv/.installed

# uv installs the same pinned set much faster; where it cannot, pip does.
.venv/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt uv || true
	VIRTUAL_ENV=$(CURDIR)/.venv $(BIN)/uv pip install --quiet --compile-bytecode --constraint constraints.txt --editable '.[lab,worker,dev,browser,postgres]' \
		|| $(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[lab,worker,dev,browser,postgres]'
	touch $@

demo: setup
	$(BIN)/python launch.py -m model.reparam=bn,id,dconv

# First what may run two at a time, then what takes times or shares a service.
test: setup
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m "not alone"
	$(BIN)/python -m pytest -m alone

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache
