"""The adb server and the emulated phone: what the tests of the device take for granted of them."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from services import adb_server
from services.phone import Phone

NEEDY = """
import pytest

pytest_plugins = ["services.plugin"]

@pytest.mark.adb
def test_adb(): ...
"""


def adb(phone: Phone, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run Debian's own adb, as a user does."""
    command = ["adb", "-P", str(adb_server.port()), "-s", phone.serial, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.mark.adb
def test_adb_itself_pushes_pulls_and_runs_commands(phone: Phone, tmp_path: Path) -> None:
    sent, back = tmp_path / "sent", tmp_path / "back"
    sent.write_bytes(os.urandom(300_000))
    assert adb(phone, "push", str(sent), "/data/local/tmp/x y").returncode == 0
    assert adb(phone, "pull", "/data/local/tmp/x y", str(back)).returncode == 0
    assert back.read_bytes() == sent.read_bytes()
    assert adb(phone, "shell", "wc -c < '/data/local/tmp/x y'").stdout.strip() == "300000"
    assert adb(phone, "shell", "getprop", "ro.product.model").stdout == "Pixel 6\n"


@pytest.mark.adb
def test_adb_itself_is_told_that_the_storage_is_full(phone: Phone, tmp_path: Path) -> None:
    (tmp_path / "sent").write_bytes(bytes(1000))
    phone.free_bytes = 999
    done = adb(phone, "push", str(tmp_path / "sent"), "/data/local/tmp/sent")
    assert done.returncode != 0 and "No space left on device" in done.stdout + done.stderr


@pytest.mark.adb
def test_adb_itself_lists_a_phone_in_each_of_its_states(
    make_phone: Callable[[str], Phone],
) -> None:
    ready, shy, mute = (make_phone(name) for name in ("ready", "shy", "mute"))
    shy.trusts = mute.answers = False
    for phone in (ready, shy, mute):
        phone.plug_in()
    assert adb(ready, "get-state").stdout.strip() == "device"
    seen = adb_server.states()
    assert (seen[shy.serial], seen[mute.serial]) == ("unauthorized", "offline")
    ready.unplug()
    assert "Pixel" not in adb(ready, "shell", "getprop", "ro.product.model").stdout


@pytest.mark.parametrize(
    ("required", "outcome"), [("", "1 skipped"), ("1", "1 error")], ids=["skips", "fails"]
)
def test_a_test_without_the_server_says_how_to_start_it(
    required: str, outcome: str, tmp_path: Path
) -> None:
    (tmp_path / "test_needy.py").write_text(NEEDY)
    settings = {
        "ADB_PORT": "1",
        "REPGHOST_REQUIRE_SERVICES": required,
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }
    command = [sys.executable, "-m", "pytest", "-rsE", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(
        command, env=os.environ | settings, cwd=tmp_path, capture_output=True, text=True
    )
    assert outcome in done.stdout
    assert "run bash tests/services/adb.sh start" in done.stdout
