from typing import Any

import pytest

from repghost.latency.spec import LatencySpec


def test_the_defaults_are_the_paired_protocol_on_this_machine() -> None:
    spec = LatencySpec()
    assert spec.devices == ["local"] and spec.protocol == "paired" and spec.max_ms is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("devices", []),
        ("devices", ["my phone"]),
        ("devices", ["-f"]),
        ("devices", ["local", "local"]),
        ("devices", "local"),
        ("protocol", "mean"),
        ("max_ms", 0),
        ("max_ms", "fast"),
        ("max_ms", float("nan")),
        ("input_size", -224),
        ("input_size", 224.5),
        ("precision", 0.0),
        ("precision", None),
        ("precision", True),
        ("max_rounds", 0),
        ("max_rounds", 1.5),
    ],
)
def test_a_value_that_cannot_be_is_an_error_that_names_key_and_value(name: str, value: Any) -> None:
    with pytest.raises(ValueError) as error:
        LatencySpec(**{name: value})
    assert f"latency.{name}={value}" in str(error.value)
    assert "\n" not in str(error.value)
