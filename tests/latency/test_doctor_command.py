"""`python -m repghost.latency doctor`: a line a check, and an exit code."""

import io
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from repghost.latency import doctor_command
from repghost.latency.__main__ import main
from repghost.latency.devices.contract import Check, DeviceError
from repghost.latency.devices.spec import DeviceSpec, LocalSpec

FINE = Check("clock", "ok", "steps of 0.10 µs", "never shown")
DOUBTFUL = Check("governor", "warn", "powersave [moves]", "sudo cpupower frequency-set")
BROKEN = Check("network", "fail", "no network", "install MNN anew")


class Device:
    """A device that only knows its checks."""

    def __init__(self, checks: list[Check]) -> None:
        self._checks = checks

    def checks(self) -> list[Check]:
        return self._checks


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> list[Check]:
    """The checks that the device will show; the test fills it."""
    checks: list[Check] = []
    monkeypatch.setattr(doctor_command, "open_device", lambda spec: Device(checks))
    return checks


def test_each_check_is_one_line_with_what_to_do_where_it_is_not_fine(
    found: list[Check], capsys: pytest.CaptureFixture[str]
) -> None:
    found += [FINE, DOUBTFUL]
    assert main(["doctor"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "ok  clock     steps of 0.10 µs",
        "?   governor  powersave [moves] -> sudo cpupower frequency-set",
        "numbers from here are doubtful: 1 of 2 checks",
    ]


def test_a_check_that_fails_is_exit_code_1(
    found: list[Check], capsys: pytest.CaptureFixture[str]
) -> None:
    found += [FINE, BROKEN, DOUBTFUL]
    assert main(["doctor", "device=local"]) == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "nothing can be timed here: 1 of 3 checks failed"


def test_nothing_to_doubt_is_said_too(
    found: list[Check], capsys: pytest.CaptureFixture[str]
) -> None:
    found.append(FINE)
    assert main(["doctor"]) == 0
    assert "can be trusted: all 1 checks are fine" in capsys.readouterr().out


def test_a_device_that_cannot_be_opened_is_a_failed_check(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def closed(spec: DeviceSpec) -> Device:
        raise DeviceError("no adb server at 127.0.0.1:5037; start it: adb start-server")

    monkeypatch.setattr(doctor_command, "open_device", closed)
    assert main(["doctor", "device=adb"]) == 1
    assert capsys.readouterr().out.startswith("X   device  no adb server at")


def test_the_words_become_the_devices_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[DeviceSpec] = []

    def opening(spec: DeviceSpec) -> Device:
        opened.append(spec)
        return Device([FINE])

    monkeypatch.setattr(doctor_command, "open_device", opening)
    assert main(["doctor", "device=local", "device.core=1", "device.busy=refuse"]) == 0
    assert opened == [LocalSpec(core=1, busy="refuse")]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["device=phone"], "device=phone: allowed are local, adb, cuda"),
        (["device.core=many"], "device.core=many: must be a whole number"),
        (["device.busy=perhaps"], "device.busy=perhaps: allowed are flag, refuse"),
        (["core=1"], "core=1: device=local has name, core"),
        (["--nonsense"], "--nonsense"),
    ],
)
def test_wrong_words_are_one_line_and_exit_code_2(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = main(["doctor", *words])
    except SystemExit as end:  # argparse's
        assert isinstance(end.code, int)
        code = end.code
    err = capsys.readouterr().err
    assert code == 2 and err.startswith("error: ") and said in err and err.count("\n") == 1


def test_on_a_narrow_terminal_long_words_stay_in_their_column() -> None:
    sink = io.StringIO()
    doctor_command.show(
        [FINE, Check("other load", "warn", "another process used 63 % of core 1", "end it " * 9)],
        Console(file=sink, force_terminal=True, width=50, color_system=None, highlight=False),
    )
    lines = sink.getvalue().splitlines()
    assert max(map(len, lines)) <= 50
    start = lines[0].index("steps")
    assert all(not line[:start].strip() for line in lines[2:-1]) and len(lines) > 4


def test_this_machine_is_looked_at_in_plain_lines_without_torch_and_hydra(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib\n"
        "from repghost.latency.devices import machine_lock\n"
        "machine_lock.shared_folder = lambda: pathlib.Path(sys.argv[1])\n"  # others may measure
        "from repghost.latency.doctor_command import doctor_command\n"
        "code = doctor_command(['device=local'])\n"
        "heavy = {'torch', 'hydra', 'onnx', 'omegaconf'} & sys.modules.keys()\n"
        "assert not heavy, heavy\n"
        "sys.exit(code)\n"
    )
    work, locks = tmp_path / "work", tmp_path / "locks"
    work.mkdir()
    locks.mkdir()
    command = [sys.executable, "-c", code, str(locks)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=work)
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert any(line.startswith("ok  precision path") for line in lines)
    assert "\x1b" not in done.stdout and "checks" in lines[-1] and list(work.iterdir()) == []
