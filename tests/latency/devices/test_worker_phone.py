"""A worker beside a phone: the real adb server, and a phone that is emulated on loopback."""

from pathlib import Path

import pytest
from adb_phone import write_build
from services import adb_server
from services.phone import Phone
from worker_shop import Shop, wait_for

from repghost.latency.queue.workers import placeholder
from repghost.latency.record import Budget

pytestmark = pytest.mark.adb
FEW = Budget(0.05, 4, 10.0)  # rounds: each call of the emulated phone takes half a second


@pytest.fixture
def shop(tmp_path: Path, short_mnn: Path) -> Shop:
    return Shop(f"sqlite:///{tmp_path}/latency.db", short_mnn)


@pytest.fixture
def words(phone: Phone, tmp_path: Path) -> list[str]:
    benchmark, libraries = write_build(tmp_path / "built")
    return [
        *("device=adb", "device.name=pixel", f"device.serial={phone.serial}"),
        *(f"device.benchmark={benchmark}", f"device.libraries=[{','.join(libraries)}]"),
        *(f"device.server=127.0.0.1:{adb_server.port()}", "device.wait_s=0", "poll_s=0.1"),
    ]


def test_what_was_asked_before_the_phone_was_known_is_measured_on_it(
    shop: Shop, words: list[str], phone: Phone
) -> None:
    shop.ask("a", FEW, placeholder("pixel"), "pixel")
    with shop.worker(*words, "once=true") as worker:
        said = worker.communicate(timeout=120)[0]
    assert worker.returncode == 0, said
    (found,) = shop.store.all()
    assert found.identity.device.startswith("adb: ") and phone.serial not in found.identity.device
    assert found.ratio_low is not None and found.ratio_high is not None
    assert found.ratio_low <= 1.1 and found.ratio_high >= 0.9, "a network against itself"
    assert found.runs_per_sample >= 10 and found.device_state["pinned"]
    assert list(phone.storage.iterdir()) == [], "it cleans up"


def test_a_phone_that_is_unplugged_gives_the_measurement_back_and_is_gone_on_with(
    shop: Shop, words: list[str], phone: Phone
) -> None:
    shop.ask("a", FEW, placeholder("pixel"), "pixel")
    phone.unplugs_at = "./benchmark.out"
    with shop.worker(*words) as worker:
        wait_for(lambda: any("pixel: " in one.why for one in shop.requests.waiting()))
        (standing,) = shop.requests.waiting()
        assert (standing.state, standing.attempts) == ("requested", 0)
        assert phone.serial in standing.why
        phone.unplugs_at = ""
        phone.plug_in()
        wait_for(shop.store.all)
        assert worker.poll() is None


def test_a_phone_that_keeps_failing_is_quarantined_until_it_is_fit_again(
    shop: Shop, words: list[str], phone: Phone
) -> None:
    shop.ask("a", FEW, placeholder("pixel"), "pixel")
    phone.battery([60.0], level=80)
    with shop.worker(*words):
        wait_for(lambda: "quarantined" in shop.states())
        (seen,) = shop.workers.seen()
        assert seen.failures >= 3 and "60" in seen.doing
        (standing,) = shop.requests.waiting()
        assert (standing.state, standing.attempts) == ("requested", 0)
        phone.battery([30.0], level=80)
        wait_for(shop.store.all)
        wait_for(lambda: "idle" in shop.states())


def test_a_worker_waits_for_a_phone_that_is_not_there_yet(
    shop: Shop, words: list[str], phone: Phone
) -> None:
    phone.unplug()
    with shop.worker(*words):
        wait_for(lambda: "no device" in shop.states())
        (seen,) = shop.workers.seen()
        assert seen.profile is None and phone.serial in seen.doing
        phone.plug_in()
        wait_for(lambda: "idle" in shop.states())
        assert shop.workers.known("pixel") is not None
