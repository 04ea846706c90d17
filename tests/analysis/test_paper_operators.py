import xml.etree.ElementTree as ET

import numpy as np
import pytest

from analysis.__main__ import main
from analysis.paper.operators import NETWORKS, operator_pairs
from analysis.paper.table1 import operator_sheets
from analysis.paper.table1_picture import picture
from repghost.latency.operators import Operator
from repghost.latency.profile import Profile, write_profiles

CONCAT, ADD = NETWORKS["concat"], NETWORKS["add"]
ROUNDS = 40


def operator(kind, layer, batch, shape=(16, 56, 56)):
    output = (batch, *shape)
    return Operator(f"/{layer}/x", kind.split()[0], kind, layer, 1.0, (output,), output)


def network(name, batch, modules=32):
    """Return made-up operators in a fixed order: convs, the 32, shortcuts, and SE's copies."""
    if name == ADD:
        layers = [f"blocks.{i // 2}.ghost{i % 2 + 1}" for i in range(modules)]
        ours = [operator("BinaryOp add", layer, batch) for layer in layers]
        again = []
    else:
        ours = [operator("Raster concat", f"blocks.{i}", batch) for i in range(modules)]
        again = [operator("Raster concat", "blocks.4.se", batch, (784, 1)) for _ in range(5)]
    shortcuts = [operator("BinaryOp add", f"blocks.{i}", batch) for i in range(16)]
    convs = [operator("Convolution", f"blocks.{i}.conv", batch) for i in range(10)]
    return (*convs, *ours, *shortcuts, *again)


def made_up(name, batch=1, each_ms=0.1, noise=None, modules=32, **changes):
    """Return a profile in which each of the 32 takes `each_ms`, every other operator 0.05 ms."""
    operators = network(name, batch, modules)
    ours = range(10, 10 + modules)
    ms = [each_ms if i in ours else 0.05 for i in range(len(operators))]
    load = np.ones(ROUNDS) if noise is None else noise
    samples = np.outer(load, ms).astype(np.float32)
    plain = samples.sum(axis=1)
    values = {
        "network": name,
        "fingerprint": f"{name}{batch}",
        "input_shape": (batch, 3, 224, 224),
        "operators": operators,
        "samples_ms": samples,
        "plain_ms": plain,
        "callbacks_ms": plain,
        "runs_per_sample": 3,
        "seed": 0,
        "device": "local: EPYC",
        "mnn_version": "3.6.1",
        "device_state": {"pinned": True},
        "commit": "0123abc",
        "measured_at": "2026-11-23T00:00:00+00:00",
    }
    return Profile(**(values | changes))


def write(outputs, name, *profiles):
    folder = outputs / "profiles"
    folder.mkdir(parents=True, exist_ok=True)
    write_profiles(folder / f"{name}.json", profiles)


def pairs_in(outputs, device=None):
    (pairs,) = operator_pairs(outputs, device)[0].values()
    return pairs


def test_the_32_are_told_from_shortcuts_and_from_second_copies(tmp_path):
    write(tmp_path, "a", made_up(CONCAT, each_ms=0.2), made_up(ADD, each_ms=0.1))
    (pair,) = pairs_in(tmp_path)
    concat, add = pair.groups
    assert (concat.count, add.count) == (32, 32)
    assert (concat.ms.value, add.ms.value) == pytest.approx((6.4, 3.2), rel=1e-5)
    assert pair.ratio.value == pytest.approx(2.0, rel=1e-5)
    assert pair.again_ms.value == pytest.approx(5 * 0.05, rel=1e-4)
    assert concat.share.value == pytest.approx(6.4 / (6.4 + 31 * 0.05), rel=1e-4)


def test_networks_of_the_same_rounds_are_compared_round_by_round(tmp_path):
    noise = np.exp(np.random.default_rng(0).normal(size=ROUNDS))
    together = made_up(CONCAT, each_ms=0.2, noise=noise), made_up(ADD, noise=noise)
    write(tmp_path / "a", "both", *together)
    for i, one in enumerate(together):
        write(tmp_path / "b", f"{i}", one)
    (paired,), (apart,) = pairs_in(tmp_path / "a"), pairs_in(tmp_path / "b")
    assert paired.ratio == pytest.approx((2.0, 2.0, 2.0), rel=1e-5)
    assert not apart.together
    assert apart.ratio.value == pytest.approx(2.0, rel=1e-5)
    assert apart.ratio.high / apart.ratio.low > 1.3
    assert paired.share_difference.half_width < 1e-6 < apart.share_difference.half_width + 1e-5


def test_batch_sizes_stand_in_order_however_the_files_are_called(tmp_path):
    for name, batch in (("a", 32), ("b", 1), ("c", 8), ("d", 2)):
        write(tmp_path, name, made_up(ADD, batch), made_up(CONCAT, batch))
    assert [pair.batch for pair in pairs_in(tmp_path)] == [1, 2, 8, 32]
    table, shares = operator_sheets(*operator_pairs(tmp_path, None))
    assert [row[-1] for row in table.rows] == ["2.00", "1.97", "1.89", "1.95"]
    assert not any("not measured" in note for note in table.notes)
    assert [row[0] for row in shares.rows] == ["1", "2", "8", "32"]


def test_missing_batch_sizes_are_named_and_others_have_no_paper_figure(tmp_path):
    write(tmp_path, "a", made_up(CONCAT, 4), made_up(ADD, 4))
    table = operator_sheets(*operator_pairs(tmp_path, None))[0]
    assert table.rows[0][-2:] == ("-", "-")
    assert "not measured: batch size 1, 2, 8, 32; python launch.py -m +sweeps=table1" in table.notes


def test_the_newest_profiles_count(tmp_path):
    old, new = "2026-11-01T00:00:00+00:00", "2026-11-02T00:00:00+00:00"
    write(tmp_path, "a", *(made_up(n, each_ms=0.1, measured_at=new) for n in (CONCAT, ADD)))
    write(
        tmp_path, "b", made_up(CONCAT, each_ms=0.9, measured_at=old), made_up(ADD, measured_at=old)
    )
    (pair,) = pairs_in(tmp_path)
    assert pair.ratio.value == pytest.approx(1.0)


def test_devices_are_never_mixed(tmp_path):
    write(tmp_path, "a", made_up(CONCAT), made_up(ADD, device="phone"))
    with pytest.raises(
        ValueError, match="no operator profiles of GhostNet 1x and GhostNet 1x, add"
    ):
        operator_pairs(tmp_path, None)
    write(tmp_path, "b", made_up(CONCAT, device="phone"))
    assert list(operator_pairs(tmp_path, None)[0]) == ["phone"]
    with pytest.raises(ValueError, match="--device tpu"):
        operator_pairs(tmp_path, "tpu")


def test_other_networks_sizes_and_files_are_left_alone(tmp_path):
    write(tmp_path, "a", made_up(CONCAT), made_up(ADD))
    write(tmp_path, "b", made_up("RepGhostNet 1x"))
    write(tmp_path, "c", made_up(CONCAT, each_ms=9, input_shape=(1, 3, 32, 32)))
    (tmp_path / "profiles" / "d.json").write_text("{")
    devices, notes = operator_pairs(tmp_path, None)
    assert [pair.ratio.value for pair in devices["local: EPYC"]] == pytest.approx([1.0])
    assert len(notes) == 1 and "d.json: no file of operator profiles" in notes[0]


def test_a_graph_without_its_32_operators_is_refused_by_name(tmp_path):
    write(tmp_path, "a", made_up(CONCAT, modules=31), made_up(ADD))
    with pytest.raises(ValueError, match=r"a\.json: GhostNet 1x has 31 such operators, not 32"):
        operator_pairs(tmp_path, None)


def test_the_evidence_stands_below_the_table(tmp_path):
    write(tmp_path, "a", made_up(CONCAT), made_up(ADD))
    notes = " ".join(operator_sheets(*operator_pairs(tmp_path, None))[0].notes)
    for part in ("local: EPYC", "n = 40 rounds", "MNN 3.6.1", "0123abc", "5 of the concatenations"):
        assert part in notes


def test_the_command_prints_both_tables_and_writes_the_picture(tmp_path, capsys):
    for batch in (1, 2, 8, 32):
        write(tmp_path, f"{batch}", made_up(CONCAT, batch, each_ms=0.2), made_up(ADD, batch))
    main(["paper", "--operators", "--outputs", str(tmp_path)])
    said = capsys.readouterr()
    assert "2.00 [2.00, 2.00]" in said.out and "Figure 2" in said.out
    path = tmp_path / "profiles" / "figure2.svg"
    assert said.err.strip() == f"picture {path}"
    root = ET.fromstring(path.read_text())
    texts = [element.text for element in root.iter() if element.tag.endswith("text")]
    assert "6.4 / 3.2 ms, ratio 2.00 (paper 2.0)" in texts
    assert sum(element.tag.endswith("rect") for element in root.iter()) == 1 + 2 + 8


def test_the_picture_stays_inside_its_frame_and_escapes_names(tmp_path):
    device = "<script>&"
    write(tmp_path, "a", made_up(CONCAT, each_ms=5, device=device), made_up(ADD, device=device))
    text = picture(pairs_in(tmp_path))
    assert "<script>" not in text
    root = ET.fromstring(text)
    rects = [element for element in root.iter() if element.tag.endswith("rect")]
    assert max(float(r.get("x", 0)) + float(r.get("width")) for r in rects) <= 960
