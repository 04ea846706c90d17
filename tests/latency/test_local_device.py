import os
from pathlib import Path

import pytest
from device_contract import DeviceContract

from repghost.latency.device import open_device
from repghost.latency.local import LocalDevice, busy_shares, quietest

needs_affinity = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="this system cannot pin a process to a core"
)


@pytest.fixture
def device() -> LocalDevice:
    return LocalDevice()


class TestLocalDevice(DeviceContract):
    """This machine's CPU keeps the contract."""


@needs_affinity
def test_pinning_is_to_one_allowed_core_and_is_restored(device: LocalDevice) -> None:
    before = os.sched_getaffinity(0)
    with device:
        inside, state = os.sched_getaffinity(0), device.state()
    assert len(inside) == 1 and inside <= before
    assert state["pinned"] is True and {state["core"]} == inside
    assert os.sched_getaffinity(0) == before
    assert device.state()["pinned"] is False


@needs_affinity
def test_pinning_is_restored_after_an_exception(device: LocalDevice) -> None:
    before = os.sched_getaffinity(0)
    with pytest.raises(RuntimeError, match="in the middle"), device, device:
        raise RuntimeError("in the middle")
    assert os.sched_getaffinity(0) == before


def test_without_affinity_it_works_and_says_so(
    device: LocalDevice, short_mnn: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("sched_setaffinity", "sched_getaffinity"):
        monkeypatch.delattr(os, name, raising=False)
    with device:
        assert device.load(short_mnn).time_ms(1) > 0
        state = device.state()
    assert state["pinned"] is False
    assert "cannot pin" in str(state["why_not_pinned"])


@needs_affinity
def test_a_refused_pinning_is_no_error_and_is_said(
    device: LocalDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(pid: int, cores: set[int]) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setaffinity", refuse)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    with device:
        assert device.state()["pinned"] is False
        assert "Operation not permitted" in str(device.state()["why_not_pinned"])


def test_the_quietest_allowed_core_is_chosen_and_the_last_among_equals() -> None:
    busy = {0: 0.0, 1: 0.7, 2: 0.2, 3: 0.2}
    assert quietest({1, 2, 3}, busy) == 3
    assert quietest({1, 2}, busy) == 2
    assert quietest({0, 3}, {}) == 3


def test_busy_shares_lie_between_0_and_1() -> None:
    shares = busy_shares(watch_s=0.05)
    assert all(0 <= share <= 1 for share in shares.values())
    assert len(shares) in (0, os.cpu_count())


def test_an_unknown_device_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"latency\.devices=pixel: allowed are local"):
        open_device("pixel")
