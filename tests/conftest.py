"""One thread a test process; which tests may run beside others."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the networks here are tiny, CI's cores are few

pytest_plugins = ["services.plugin"]  # the real services: markers and fixtures
TESTS = Path(__file__).parent
# They compute, and neither take times nor share a service: `make test` runs two at a time.
BESIDE = (
    *("analysis", "deploy", "models", "sweep/plan", "sweep/space", "training"),
    *("test_conf.py", "test_costs.py", "test_networks.py"),
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is not in `BESIDE` as `alone`; keep a file's tests in one process."""
    for item in items:
        file = item.path.relative_to(TESTS)
        if not any(file.is_relative_to(one) for one in BESIDE):
            item.add_marker("alone")
        item.add_marker(pytest.mark.xdist_group(str(file)))
