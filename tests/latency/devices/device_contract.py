"""What every device must do: inherit `DeviceContract` and provide the fixture `device`."""

import json
import time
from pathlib import Path

import pytest

from repghost.latency.devices.contract import Device

LEVELS = {"ok", "warn", "fail"}


class DeviceContract:
    """The tests that all devices pass."""

    def test_it_says_what_it_is_in_one_line_each(self, device: Device) -> None:
        for words in (device.name, device.profile, device.mnn_version):
            assert words and words.strip() == words and "\n" not in words
        assert ": " in device.profile

    def test_it_is_the_same_device_when_asked_again(self, device: Device) -> None:
        before = device.profile, device.mnn_version
        with device:
            assert (device.profile, device.mnn_version) == before

    def test_it_names_the_version_that_runs_there(self, device: Device) -> None:
        assert device.mnn_version[0].isdigit()

    def test_twice_the_layers_take_clearly_longer(
        self, device: Device, short_mnn: Path, long_mnn: Path
    ) -> None:
        with device:
            short, long = device.load(short_mnn), device.load(long_mnn)
            pairs = [(short.time_ms(30), long.time_ms(30)) for _ in range(15)]
        ratios = sorted(longer / shorter for shorter, longer in pairs)
        assert ratios[len(ratios) // 2] > 1.3

    def test_a_sample_of_the_fewest_runs_is_one_run_s_time_however_long_it_settles(
        self, device: Device, long_mnn: Path
    ) -> None:
        assert device.fewest_runs >= 1
        with device:
            network = device.load(long_mnn)
            network.time_ms(device.fewest_runs, settle=20)
            times = [
                (network.time_ms(device.fewest_runs, settle=100), network.time_ms(100))
                for _ in range(9)
            ]
        ratios = sorted(few / many for few, many in times)
        assert 0.4 < ratios[len(ratios) // 2] < 2.5  # a sum instead of a mean is 0.1, 10 or 11

    def test_a_missing_model_is_an_error_that_names_it(
        self, device: Device, tmp_path: Path
    ) -> None:
        with device, pytest.raises(ValueError, match=r"absent\.mnn"):
            device.load(tmp_path / "absent.mnn")

    def test_a_broken_model_is_an_error_that_names_it(self, device: Device, tmp_path: Path) -> None:
        (tmp_path / "broken.mnn").write_bytes(b"this is no network" * 40)
        with device, pytest.raises(ValueError, match=r"broken\.mnn"):
            device.load(tmp_path / "broken.mnn")

    def test_it_times_another_network_after_a_broken_one(
        self, device: Device, short_mnn: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "broken.mnn").write_bytes(b"this is no network" * 40)
        with device:
            with pytest.raises(ValueError):
                device.load(tmp_path / "broken.mnn")
            assert device.load(short_mnn).time_ms(device.fewest_runs) > 0

    def test_it_says_in_words_whether_a_block_may_begin(self, device: Device) -> None:
        with device:
            words = device.ready(time.sleep)
        assert all(word and "\n" not in word for word in words)

    def test_its_state_is_json_and_says_whether_it_is_pinned(self, device: Device) -> None:
        with device:
            state = device.state()
        assert isinstance(state["pinned"], bool)
        assert json.loads(json.dumps(state)) == state

    def test_its_checks_find_it_fit_and_say_what_to_do_where_not(self, device: Device) -> None:
        checks = device.checks()
        assert checks and {check.level for check in checks} <= LEVELS
        assert not [check for check in checks if check.level == "fail"]
        assert all(check.what and check.found for check in checks)
        assert all(check.advice for check in checks if check.level != "ok")

    def test_it_can_be_entered_again_also_inside_itself(
        self, device: Device, short_mnn: Path
    ) -> None:
        for _ in range(2):
            with device, device:
                assert device.load(short_mnn).time_ms(1) > 0

    def test_it_can_be_used_after_an_exception_inside(
        self, device: Device, short_mnn: Path
    ) -> None:
        with pytest.raises(RuntimeError, match="in the middle"), device:
            raise RuntimeError("in the middle")
        with device:
            assert device.load(short_mnn).time_ms(1) > 0
