"""Operator profiles as a table and as a picture, from profiles whose numbers are known."""

import re
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
from rich.console import Console

from analysis.operators import Row, rows, signed, summary
from analysis.operators_picture import MOST_ROWS, picture
from repghost.latency.operators import Operator
from repghost.latency.profile import Profile

SVG = "{http://www.w3.org/2000/svg}"
SHAPE = (1, 8, 4, 4)


def operator(kind: str, layer: str = "blocks.0") -> Operator:
    return Operator(f"/{layer}/x", kind.split()[0], kind, layer, 1.0, (SHAPE,), SHAPE)


def made(network: str, times: dict[str, float], rounds: int = 5, noise: float = 0.0) -> Profile:
    """Return a profile of one operator a kind with these times in ms, and 1 ms for callbacks."""
    drift = 1 + noise * np.random.default_rng(0).normal(size=(rounds, len(times)))
    samples = (np.array([list(times.values())]) * drift).astype(np.float32)
    plain = samples.sum(axis=1)
    return Profile(
        network=network,
        fingerprint=None,
        input_shape=(1, 3, 224, 224),
        operators=tuple(map(operator, times)),
        samples_ms=samples,
        plain_ms=plain,
        callbacks_ms=plain + 1,
        runs_per_sample=1,
        seed=0,
        device="local: a CPU",
        mnn_version="3.6.1",
        device_state={"pinned": True, "core": 1},
        commit="abc123",
        measured_at="2026-01-01T00:00:00+00:00",
    )


GHOST = {"Convolution": 6.0, "Raster concat": 2.0, "BinaryOp add": 2.0}
REP = {"Convolution": 5.0, "BinaryOp add": 3.0}


def printed(*profiles: Profile, slowest: int = 0) -> str:
    console = Console(width=120, highlight=False)
    with console.capture() as captured:
        for part in summary(profiles, slowest):
            console.print(part)
    return captured.get()


def cells(text: str, start: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.strip().startswith(start))
    return re.split(r"\s{2,}", line.strip())


def test_one_network_is_a_row_a_kind_the_slowest_first() -> None:
    text = printed(made("GhostNet", GHOST))
    assert cells(text, "Convolution") == [
        "Convolution", "1", "6.000", "6.000, 6.000", "60.0", "60.0, 60.0",
    ]  # fmt: skip
    assert cells(text, "Raster concat")[2:5:2] == ["2.000", "20.0"]
    assert text.index("Convolution") < text.index("Raster concat")


def test_two_networks_stand_side_by_side_with_the_difference() -> None:
    text = printed(made("GhostNet", GHOST), made("RepGhostNet", REP))
    assert "A = GhostNet" in text and "B = RepGhostNet" in text
    assert cells(text, "Raster concat") == [
        "Raster concat", "1", "0", "2.000", "0.000", "+2.000", "+2.000, +2.000",
        "20.0", "0.0", "+20.0",
    ]  # fmt: skip
    assert cells(text, "BinaryOp add")[5] == "-1.000"
    assert cells(text, "BinaryOp add")[-1] == "-17.5"  # 20 % less 37.5 %


def test_the_difference_is_paired_round_by_round() -> None:
    a, b = made("a", {"Convolution": 6.0}, 50, 0.1), made("b", {"Convolution": 5.0}, 50, 0.1)
    (row,) = rows([a, b])
    assert row.difference_ms is not None
    assert row.difference_ms.half_width < 0.5 * row.groups[0].ms.half_width


def test_the_evidence_says_total_overhead_device_rounds_and_commit() -> None:
    text = " ".join(printed(made("GhostNet", GHOST)).split())
    for said in (
        "10.000 ms a run, 11.000 ms with callbacks (+10.0 [+10.0, +10.0] %, 333.33 µs an operator)",
        "its 3 operators sum to 10.000 ms",
        "Raster in all 20.0 [20.0, 20.0] %",
        "n = 5 rounds",
        "local: a CPU, pinned to core 1; MNN 3.6.1; commit abc123",
    ):
        assert said in text


def test_the_slowest_operators_are_named_by_layer() -> None:
    text = printed(made("GhostNet", GHOST), slowest=2)
    assert "its 2 slowest operators" in text
    tail = text[text.index("slowest") :]
    assert cells(tail, "blocks.0") == ["blocks.0", "Convolution", "1x8x4x4", "6.000", "60.0"]
    assert tail.count("blocks.0 ") == 2


def test_text_from_files_is_not_read_as_markup() -> None:
    assert "[red]a[/]" in printed(made("[red]a[/]", GHOST))


def test_only_one_profile_or_two_of_the_same_rounds_can_be_shown() -> None:
    with pytest.raises(ValueError, match="3 profiles"):
        rows([made("a", GHOST)] * 3)
    with pytest.raises(ValueError, match="5 and 6 rounds"):
        rows([made("a", GHOST), made("b", REP, rounds=6)])


def test_kinds_beyond_the_most_are_one_row_of_others_and_nothing_is_lost() -> None:
    one = made("a", {f"Kind{i}": 20.0 - i for i in range(20)})
    found = rows([one], most=4)
    assert [row.name for row in found] == ["Kind0", "Kind1", "Kind2", "others"]
    assert found[-1].groups[0].count == 17
    assert total(found) == pytest.approx(total(rows([one]))) == pytest.approx(one.total_ms)


def total(found: list[Row]) -> float:
    return sum(row.groups[0].ms.value for row in found)


@pytest.mark.parametrize(("value", "said"), [(1.26, "+1.3"), (-0.04, "0.0"), (-0.26, "-0.3")])
def test_a_difference_that_rounds_to_nothing_has_no_sign(value: float, said: str) -> None:
    assert signed(value, 1) == said


def bars(svg: str) -> list[float]:
    """Return the widths of the bars, top to bottom; background and legend left out."""
    found = ElementTree.fromstring(svg).iter(f"{SVG}rect")
    return [float(r.get("width", 0)) for r in found if r.get("height") == "14"]


@pytest.mark.parametrize("unit", ["ms", "%"])
def test_bars_are_as_long_as_the_numbers(unit) -> None:
    widths = bars(picture([made("GhostNet", GHOST)], unit))[1:]  # the first is the legend's
    assert widths[0] / widths[1] == pytest.approx(3.0, rel=0.01)
    assert widths[1] == widths[2]


def test_two_networks_are_bars_side_by_side_and_what_one_lacks_has_none() -> None:
    svg = picture([made("GhostNet", GHOST), made("RepGhostNet", REP)])
    assert len(bars(svg)) == 2 + 3 + 2
    texts = [text.text or "" for text in ElementTree.fromstring(svg).iter(f"{SVG}text")]
    assert "A: GhostNet, 10.00 ms a run" in texts and "B: RepGhostNet, 8.00 ms a run" in texts
    assert "+2.00 ms, +20.0 points" in texts


def test_the_picture_is_self_contained_and_its_text_is_escaped() -> None:
    svg = picture([made("<script>alert(1)</script> & co", GHOST)])
    assert "<script" not in svg and "&lt;script&gt;" in svg
    links = [value for value in re.findall(r'="(\w+:[^"]*)"', svg) if "w3.org" not in value]
    assert not links and "href" not in svg


def test_everything_is_drawn_inside_the_picture() -> None:
    names = {f"Kind{i}": 20.0 - i for i in range(20)}
    root = ElementTree.fromstring(picture([made("a", names), made("b", names)]))
    width, height = float(root.get("width", 0)), float(root.get("height", 0))
    for text in root.iter(f"{SVG}text"):
        assert 0 < float(text.get("x", 0)) < width and 0 < float(text.get("y", 0)) < height
    for rect in root.iter(f"{SVG}rect"):
        assert float(rect.get("x", 0)) + float(rect.get("width", 0)) <= width
    assert len(bars(picture([made("a", names)]))) == 1 + MOST_ROWS


def test_drawing_needs_no_torch_and_no_mnn() -> None:
    code = (
        "import sys, analysis.operators_picture\n"
        "sys.exit(bool({'torch', 'MNN'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
