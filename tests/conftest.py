"""One thread a test process; which tests may run beside others."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the networks here are tiny, CI's cores are few

pytest_plugins = ["services.plugin"]  # the real services: markers and fixtures
TESTS = Path(__file__).parent
# They compute, and neither take times nor share a service: `make test` runs two at a time.
BESIDE = (
    *("analysis", "decision", "deploy", "detection", "models", "sweep/plan", "sweep/space"),
    *("training", "test_conf.py", "test_costs.py", "test_networks.py", "test_sweeps.py"),
    *("test_storage_spec.py", "test_objective.py", "sweep/test_rungs.py", "sweep/test_sweepers.py"),
    *("sweep/test_replay.py", "sweep/test_results_table.py", "latency/test_statistics.py"),
    *("latency/test_flags.py", "latency/test_latency_spec.py"),
    "latency/devices/test_adb_parsing.py",
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is not in `BESIDE` as `alone`; keep a file's tests in one process."""
    for item in items:
        file = item.path.relative_to(TESTS)
        if not any(file.is_relative_to(one) for one in BESIDE):
            item.add_marker("alone")
        item.add_marker(pytest.mark.xdist_group(str(file)))
