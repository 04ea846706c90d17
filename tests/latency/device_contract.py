"""What every device must do: inherit `DeviceContract` and provide the fixture `device`."""

import json
from pathlib import Path

import pytest

from repghost.latency.device import Device, open_device
from repghost.latency.spec import DEVICES


class DeviceContract:
    """The tests that all devices pass."""

    def test_it_opens_by_its_name(self, device: Device) -> None:
        assert device.name in DEVICES
        assert open_device(device.name).profile == device.profile

    def test_its_profile_starts_with_its_name_and_is_one_line(self, device: Device) -> None:
        assert device.profile.startswith(f"{device.name}: ")
        assert device.profile.strip() == device.profile and "\n" not in device.profile

    def test_it_names_the_mnn_version_that_runs_there(self, device: Device) -> None:
        assert device.mnn_version[0].isdigit()

    def test_twice_the_layers_take_clearly_longer(
        self, device: Device, short_mnn: Path, long_mnn: Path
    ) -> None:
        with device:
            short, long = device.load(short_mnn), device.load(long_mnn)
            pairs = [(short.time_ms(30), long.time_ms(30)) for _ in range(15)]
        ratios = sorted(longer / shorter for shorter, longer in pairs)
        assert ratios[len(ratios) // 2] > 1.3

    def test_a_missing_model_is_an_error_that_names_it(
        self, device: Device, tmp_path: Path
    ) -> None:
        with device, pytest.raises(ValueError, match=r"absent\.mnn"):
            device.load(tmp_path / "absent.mnn")

    def test_a_broken_model_is_an_error_that_names_it(self, device: Device, tmp_path: Path) -> None:
        (tmp_path / "broken.mnn").write_bytes(b"this is no network" * 40)
        with device, pytest.raises(ValueError, match=r"broken\.mnn"):
            device.load(tmp_path / "broken.mnn")

    def test_its_state_is_json_and_says_whether_it_is_pinned(self, device: Device) -> None:
        with device:
            state = device.state()
        assert isinstance(state["pinned"], bool)
        assert json.loads(json.dumps(state)) == state

    def test_it_can_be_entered_again_also_inside_itself(
        self, device: Device, short_mnn: Path
    ) -> None:
        for _ in range(2):
            with device, device:
                assert device.load(short_mnn).time_ms(1) > 0
