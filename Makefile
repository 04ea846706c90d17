# Two commands: `make demo` and `make test`; both make .venv and install first, once.
PYTHON ?= python3.11
BIN := .venv/bin

.PHONY: setup demo test lint clean dashboard
setup: .venv/.installed

# uv installs the same pinned set much faster; where it cannot, pip does.
.venv/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt uv || true
	VIRTUAL_ENV=$(CURDIR)/.venv $(BIN)/uv pip install --quiet --compile-bytecode --constraint constraints.txt --editable '.[lab,worker,dev,browser,postgres,dashboard]' \
		|| $(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[lab,worker,dev,browser,postgres,dashboard]'
	touch $@

demo: setup
	$(BIN)/python launch.py -m model.reparam=bn,id,dconv

# First what may run two at a time, then what takes times or shares a service.
test: setup
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m "not alone"
	$(BIN)/python -m pytest -m alone

# pytest does not collect a second test file of one name.
lint: setup
	@! find tests -name 'test_*.py' -printf '%f\n' | sort | uniq -d | grep . || { echo "tests/: two files of this name" >&2; exit 1; }
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Optuna's own dashboard on a study's ledger: make dashboard STUDY=reparam
OUTPUTS ?= outputs
PORT ?= 8080
dashboard: setup
	@test -n "$(STUDY)" || { echo "which study? make dashboard STUDY=name [OUTPUTS=folder] [PORT=8080]" >&2; exit 1; }
	@test -f "$(OUTPUTS)/$(STUDY)/study.journal" || { echo "no study $(STUDY): $(OUTPUTS)/$(STUDY)/study.journal is not there (OUTPUTS=folder is where studies lie)" >&2; exit 1; }
	@$(BIN)/python -c 'import socket, sys; socket.create_server(("127.0.0.1", int(sys.argv[1])))' "$(PORT)" 2>/dev/null || { echo "PORT=$(PORT) is taken, or no port: name another, such as PORT=8081" >&2; exit 1; }
	$(BIN)/optuna-dashboard --host 127.0.0.1 --port "$(PORT)" --storage-class JournalFileStorage "$(OUTPUTS)/$(STUDY)/study.journal"

clean:
	rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache
