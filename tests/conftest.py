"""One thread a test process; which tests of several processes have to follow each other."""

import os

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the networks here are tiny, CI's cores are few

pytest_plugins = ["services.plugin"]  # the real services: markers and fixtures
SHARED = ("slurm", "adb")  # services of which there is one: whoever has it resets it


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep together, under `pytest -n 2 --dist loadgroup`, what shares a service or a file."""
    for item in items:
        shared = next((name for name in SHARED if item.get_closest_marker(name)), None)
        group = shared or item.nodeid.partition("::")[0]
        item.add_marker(pytest.mark.xdist_group(group))
