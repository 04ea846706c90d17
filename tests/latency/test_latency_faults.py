"""A sweep, two workers and a PostgreSQL, killed 50 times at random: each latency is made once."""

import csv
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from services import database

from repghost.latency.queue.requests import Requests
from repghost.latency.store import Store

ROOT = Path(__file__).parents[2]
FAULTS = 50
PAUSE_S = (0.2, 2.4)  # between two of them: a worker takes a second to start
LIMIT_S = 420.0
FEWEST_KILLS = 8  # of each worker, while it was alive
WIDTHS = [0.1, 0.2, 0.3, 0.4]
GRAPHS = 4 * len(WIDTHS)
SWEEP = (
    *("model.relu=after_add,both", "model.shortcut=true,false"),
    f"model.width={','.join(map(str, WIDTHS))}",
    *("latency.devices=[desk]", "latency.precision=1e-6", "latency.max_seconds=1"),
    *("recipe=none", "tracking=none", "study=faults"),
)
# Every change of a measurement's state, as the server itself saw it.
AUDIT = """
CREATE TABLE audit (id INT, old TEXT, new TEXT, old_token TEXT, new_token TEXT);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO audit VALUES (NEW.id, OLD.state, NEW.state, OLD.token, NEW.token); RETURN NEW;
END $$;
CREATE TRIGGER note AFTER UPDATE ON measurements FOR EACH ROW
    WHEN (OLD.state IS DISTINCT FROM NEW.state OR OLD.token IS DISTINCT FROM NEW.token)
    EXECUTE FUNCTION note();
"""


class Keeper:
    """Keeps a process running, as a service manager or a patient user does."""

    def __init__(self, folder: Path, name: str, *words: str) -> None:
        self._log, self._folder = folder / f"{name}.log", folder
        self._command = [sys.executable, *words]
        self.kills = 0
        self.start()

    def start(self) -> None:
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                self._command,
                cwd=self._folder,
                env=os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT)},
                stdout=log,
                stderr=log,
            )

    def tend(self) -> None:
        """Start it again where it ended with an error, as it does where no database answers."""
        if self.process.poll():
            self.start()

    def kill(self) -> None:
        """Kill it with its signal 9, and start it again."""
        if self.process.poll() is None:
            self.kills += 1
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.start()

    def end(self) -> None:
        self.process.kill()
        self.process.wait()

    def said(self) -> str:
        return self._log.read_text(errors="replace")


def worker(folder: Path, url: str, number: int) -> Keeper:
    """Start a worker; on one machine two need two names, and serve one kind of device."""
    name = "desk" if number == 0 else f"desk{number}"
    words = ("-m", "repghost.latency.worker", "device=local", f"device.name={name}")
    quick = ("device.wait_s=0", "lease_s=2", "poll_s=0.1", "together=3")
    return Keeper(folder, name, *words, *quick, f"storage.url={url}")


def crash_database() -> None:
    database.crash()
    time.sleep(random.uniform(0.0, 0.5))
    database.start()


@pytest.mark.postgres
@pytest.mark.slow
def test_every_latency_is_made_exactly_once_under_50_kills(postgres: str, tmp_path: Path) -> None:
    store = Store(postgres)
    with database.connected(postgres.rsplit("/", 1)[1]) as connection:
        connection.execute(AUDIT)
    chance = random.Random(10)
    workers = [worker(tmp_path, postgres, number) for number in range(2)]
    driver = Keeper(tmp_path, "driver", str(ROOT / "launch.py"), "-m", *SWEEP, storage(postgres))
    faults: dict[str, Callable[[], None]] = {
        "worker 1": workers[0].kill,
        "worker 2": workers[1].kill,
        "driver": driver.kill,
        "database": crash_database,
    }
    kinds = chance.choices(list(faults), weights=[4, 4, 2, 1], k=FAULTS)
    try:
        for kind in kinds:
            for one in (*workers, driver):
                one.tend()
            time.sleep(chance.uniform(*PAUSE_S))
            faults[kind]()
        code = driver.process.wait(timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        pytest.fail(f"not done after {LIMIT_S} s: {driver.said()[-2000:]}")
    finally:
        for one in (*workers, driver):
            one.end()
    said = "\n".join(one.said() for one in (driver, *workers))
    assert code == 0, said[-4000:]
    assert set(kinds) == set(faults) and driver.kills
    assert min(one.kills for one in workers) >= FEWEST_KILLS, [one.kills for one in workers]
    _check_database(postgres, store, said)
    _check_table(tmp_path / "outputs" / "faults" / "results.csv")


def storage(url: str) -> str:
    return f"storage.url={url}"


def _check_database(url: str, store: Store, said: str) -> None:
    """Every graph has one measurement, made under one lease, and never touched again."""
    done = store.all()
    graphs = {one.identity.fingerprint for one in done}
    assert len(done) == len(graphs) == GRAPHS
    assert Requests(store.database).waiting() == []
    with database.connected(url.rsplit("/", 1)[1]) as connection:
        moves = connection.execute("SELECT * FROM audit").fetchall()
    finished = Counter(id for id, _, new, _, _ in moves if new == "done")
    assert set(finished.values()) == {1} and len(finished) == GRAPHS
    assert not [move for move in moves if move[1] == "done"], "done is the end"
    claims = [move for move in moves if move[2] == "claimed"]
    assert all(old == "requested" for _, old, *_ in claims), "two leases at once"
    assert all(new == old for _, _, state, old, new in moves if state == "done")
    lost = len(claims) - len(finished)
    assert lost > 0, "no kill met a measurement: this test shows nothing"
    assert "Traceback" not in said, said[said.index("Traceback") - 500 :][:4000]


def _check_table(path: Path) -> None:
    with path.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == GRAPHS
    assert {row["state"] for row in rows} == {"measured"}
    assert all(float(row["latency_ms"]) > 0 for row in rows)
