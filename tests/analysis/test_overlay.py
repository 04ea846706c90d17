"""What can be laid over the scatter: the paper's networks on this scale, another study's points."""

import pytest
import studies
from test_detector_studies import row as detector_row
from test_detector_studies import write as write_detectors

from analysis.material import gather
from analysis.paper.tables import paper_rows
from analysis.results import load
from analysis.views.overlay import paper_layer, study_layer

KNOWN = [row for row in paper_rows("Table 3") if row.latency_ms and row.top1]


def timed(name, ms, ratio, **columns):
    times = {"latency_ms": ms, "latency_low": 0.99 * ms, "latency_high": 1.01 * ms}
    times |= {"latency_ratio": ratio, "ratio_low": 0.99 * ratio, "ratio_high": 1.01 * ratio}
    return studies.run(**{"model.reparam": name}, key=name[:4], fingerprint=name, **times) | columns


def material(outputs, *rows, study="one"):
    return gather(load(studies.write_study(outputs, rows, study, "model.reparam")))


def place(layer, network):
    """Return (x, y) of one of the paper's networks in its layer."""
    (trace,) = layer["data"]
    i = next(i for i, text in enumerate(trace["text"]) if f"<b>{network}</b>" in text)
    return trace["x"][i], trace["y"][i]


@pytest.mark.parametrize("width", ["0.5x", "1.0x"])
def test_the_reference_network_lies_where_this_device_has_it(tmp_path, width):
    reference = f"repghostnet-{width}"
    layer = paper_layer(material(tmp_path, timed("bn", 5.0, 2.0, reference=reference)))
    x, y = place(layer, f"RepGhostNet {width}")
    assert x == pytest.approx(2.5, rel=1e-4), "5 ms are twice the reference's"
    assert y == {"0.5x": 66.9, "1.0x": 74.2}[width]
    assert len(layer["data"][0]["x"]) == len(KNOWN) > 10


def test_the_papers_ratios_hold_on_this_scale(tmp_path):
    layer = paper_layer(material(tmp_path, timed("bn", 5.0, 2.0)))
    base, _ = place(layer, "RepGhostNet 0.5x")
    for row in KNOWN:
        assert place(layer, row.label)[0] / base == pytest.approx(row.ratio, rel=1e-3)


def test_a_reference_with_its_shape_in_its_name_is_the_same_network(tmp_path):
    long = "repghostnet-0.5x-1x3x224x224-1000"
    assert paper_layer(material(tmp_path, timed("bn", 5.0, 2.0, reference=long))) is not None


WITHOUT_A_SCALE = {
    "no ratio": [timed("bn", 5.0, 2.0) | {"latency_ratio": "", "reference": ""}],
    "a reference that the paper has not": [timed("bn", 5.0, 2.0, reference="my.mnn")],
    "two references": [timed("bn", 5.0, 2.0), timed("id", 5, 1, reference="repghostnet-1.0x")],
    "two devices": [timed("bn", 5.0, 2.0), timed("id", 5.0, 1.0, device="pixel")],
    "nothing timed": [studies.failed("x", **{"model.reparam": "bn"})],
}


@pytest.mark.parametrize("rows", WITHOUT_A_SCALE.values(), ids=WITHOUT_A_SCALE)
def test_without_one_scale_there_is_no_layer(tmp_path, rows):
    assert paper_layer(material(tmp_path, *rows)) is None


def test_detectors_are_not_beside_classifiers(tmp_path):
    folder = write_detectors(tmp_path, detector_row(0.5, 20.0, 1.0), detector_row(1.0, 31.5, 2.0))
    assert paper_layer(gather(load(folder))) is None


def test_switched_on_a_layer_makes_room_for_its_points_and_for_the_studys(tmp_path):
    mine = material(tmp_path, timed("bn", 5.0, 2.0, top1=20.0), timed("id", 90.0, 36.0, top1=99.0))
    layer = paper_layer(mine)
    (low, high), (bottom, top) = layer["xrange"], layer["yrange"]
    xs, ys = [*layer["data"][0]["x"], 5.0, 90.0], [*layer["data"][0]["y"], 20.0, 99.0]
    assert 0 <= low < min(xs) and high > max(xs)
    assert bottom < min(ys) and top > max(ys)


def test_another_studys_points_are_those_that_compare_with_one_here(tmp_path):
    mine = material(tmp_path, timed("bn", 5.0, 2.0))
    rows = [
        timed("bn", 4.0, 1.6, top1=97.5),
        timed("id", 3.0, 1.2, device="pixel"),
        timed("dconv", 2.0, 0.8) | studies.UNSCORED | {"state": "pruned"},
    ]
    layer = study_layer(mine, material(tmp_path, *rows, study="two"))
    (trace,) = layer["data"]
    assert (trace["x"], trace["y"]) == ([4.0], [97.5])
    assert layer["on"] and layer["name"] == "the variants of two"
    assert "customdata" not in trace, "a click there would open a variant of this study"


def test_a_study_of_another_device_is_not_laid_over(tmp_path):
    mine = material(tmp_path, timed("bn", 5.0, 2.0))
    other = material(tmp_path, timed("bn", 5.0, 2.0, device="pixel"), study="two")
    assert study_layer(mine, other) is None


def test_names_are_no_markup_in_a_hover(tmp_path):
    mine = material(tmp_path, timed("bn", 5.0, 2.0))
    layer = study_layer(mine, material(tmp_path, timed("<b>bad</b>", 4.0, 1.6), study="<i>"))
    (text,) = layer["data"][0]["text"]
    assert "&lt;b&gt;bad&lt;/b&gt;" in text and "&lt;i&gt;" in text
    assert "<i>" not in text
