"""`make dashboard`: Optuna's own dashboard on a study's ledger, for this machine alone."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen

import optuna
import pytest
from optuna.storages.journal import JournalFileBackend

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
START_S = 60
HERE = "127.0.0.1"

pytestmark = pytest.mark.skipif(
    not (BIN / "optuna-dashboard").exists(), reason="pip install -e '.[dashboard]'"
)


def command(outputs, **variables):
    words = [f"{name}={value}" for name, value in (variables | {"OUTPUTS": outputs}).items()]
    return ["make", "-s", "-o", "setup", "dashboard", f"BIN={BIN}", *words]


def write_ledger(outputs) -> None:
    (outputs / "demo").mkdir()
    backend = JournalFileBackend(str(outputs / "demo" / "study.journal"))
    storage = optuna.storages.JournalStorage(backend)
    study = optuna.create_study(storage=storage, study_name="demo", directions=["maximize"])
    study.add_trial(optuna.create_trial(value=98.5))


def free_port() -> int:
    with socket.create_server((HERE, 0)) as server:
        return server.getsockname()[1]


def studies_at(port: int) -> list[str]:
    until = time.monotonic() + START_S
    while True:
        try:
            with urlopen(f"http://{HERE}:{port}/api/studies", timeout=10) as answer:
                return [one["study_name"] for one in json.load(answer)["study_summaries"]]
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)


def test_it_shows_the_studys_ledger_on_this_machine_alone(tmp_path):
    write_ledger(tmp_path)
    port = free_port()
    words = command(tmp_path, STUDY="demo", PORT=port)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(words, cwd=ROOT, start_new_session=True, **quiet)
    try:
        assert studies_at(port) == ["demo"]
        with socket.create_server(("127.0.0.2", port)):
            pass  # it has not taken every address
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def refused(outputs, **variables) -> str:
    words = command(outputs, **variables)
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    return done.stderr.splitlines()[0]


def test_what_is_missing_or_taken_is_said_in_a_line(tmp_path):
    write_ledger(tmp_path)
    assert refused(tmp_path) == (
        "which study? make dashboard STUDY=name [OUTPUTS=folder] [PORT=8080]"
    )
    assert refused(tmp_path, STUDY="other").startswith(f"no study other: {tmp_path}/other/")
    assert refused(tmp_path, STUDY="demo", PORT="x").startswith("PORT=x is taken, or no port")
    with socket.create_server((HERE, 0)) as server:
        port = server.getsockname()[1]
        assert f"PORT={port} is taken" in refused(tmp_path, STUDY="demo", PORT=port)
