"""The queue in an SQLite file."""

from pathlib import Path

import pytest
from queue_contract import QueueContract


class TestSqliteQueue(QueueContract):
    """Each test has a file of its own."""

    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path}/latency.db"
