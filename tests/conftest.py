"""One thread a test process: the networks here are tiny, and CI's cores are few."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

pytest_plugins = ["services.plugin"]  # the real services: markers and fixtures
