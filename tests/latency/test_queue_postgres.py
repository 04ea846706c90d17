"""The queue on the real PostgreSQL server."""

import pytest
from queue_contract import QueueContract

pytestmark = pytest.mark.postgres


class TestPostgresQueue(QueueContract):
    """Each test has a database of its own on the real server."""

    @pytest.fixture
    def url(self, postgres: str) -> str:
        return postgres
