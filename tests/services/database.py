"""The real PostgreSQL that postgres.sh starts, as tests use it."""

import importlib.util
import os
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).parent / "postgres.sh"
UP = "bash tests/services/postgres.sh start"
HOST, ROLE = "127.0.0.1", "repghost"
PASSWORD = "only-for-tests"  # where PGPASSWORD is not set; as in postgres.sh


def port() -> str:
    return os.environ.get("PGPORT", "5433")


def password() -> str:
    return os.environ.get("PGPASSWORD", PASSWORD)


def connected(name: str = "postgres") -> Any:
    """Return a connection to a database, by default the one in which databases are made."""
    import psycopg

    return psycopg.connect(
        host=HOST,
        port=port(),
        user=ROLE,
        password=password(),
        dbname=name,
        connect_timeout=5,
        autocommit=True,
    )


@contextmanager
def new_database() -> Iterator[str]:
    """Have an empty database in this block: its URL, which does not hold the password."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    with connected() as connection:
        connection.execute(f"CREATE DATABASE {name}")
    try:
        yield f"postgresql+psycopg://{ROLE}@{HOST}:{port()}/{name}"
    finally:
        with connected() as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def missing() -> str:
    """Return why there is no PostgreSQL here, "" where there is."""
    if importlib.util.find_spec("psycopg") is None:
        return "psycopg is missing: pip install -e '.[postgres]'"
    import psycopg

    try:
        connected().close()
    except psycopg.OperationalError as error:
        return f"postgres is not up: run {UP} ({str(error).splitlines()[0]})"
    return ""


def crash() -> None:
    """Kill the server as a failure of its machine would: without warning, in the middle."""
    _control("crash")


def start() -> None:
    """Start the server, which recovers first where it was killed."""
    _control("start")


def _control(verb: str) -> None:
    subprocess.run(["bash", str(SCRIPT), verb], check=True, capture_output=True, timeout=120)
