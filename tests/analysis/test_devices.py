import io
import json
import re

import pytest
import studies
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from analysis.bars import latency_bars
from analysis.columns import columns
from analysis.devices import flag_words, order_words
from analysis.findings import find, headline
from analysis.report import write_report
from analysis.results import load
from analysis.table import print_summary
from analysis.tradeoff import tradeoff

LONG = "repghostnet-1.0x-1x3x224x224-1000"


def timed(name, ratio, *further, **changes):
    """Return a measured row: its ratio on the first device, and (name, ratio) on further ones."""
    row = studies.measured(ratio, variant=name) | changes
    for device, there in further:
        row |= studies.not_there(device) if there is None else studies.there(device, there)
    return row


def found_in(tmp_path, *rows):
    return find(load(studies.write_study(tmp_path, rows, swept="variant")))


def words_of(tmp_path, *rows):
    return order_words(found_in(tmp_path, *rows).variants)


def printed(folder, width):
    console = Console(file=io.StringIO(), width=width, highlight=False)
    print_summary(load(folder), console)
    return console.file.getvalue()


def body_of(folder):
    html = write_report(folder).read_text(encoding="utf-8")
    return re.sub(r"<script.*?</script>|<style>.*?</style>", "", html, flags=re.S)


def test_two_devices_that_disagree_on_the_order_are_said_to(tmp_path):
    rows = timed("bn", 1.0, ("pixel", 1.0)), timed("id", 0.9, ("pixel", 1.1))
    assert words_of(tmp_path, *rows) == [
        "On pixel the order differs: id is slower than bn there.",
    ]


def test_a_sentence_on_the_order_is_among_the_studys_findings(tmp_path):
    found = find(load(studies.write_devices(tmp_path)))
    assert "On pixel the order differs: id is slower than bn there." in headline(found)


def test_devices_that_agree_are_said_to_and_nothing_is_said_of_what_cannot_be_told(tmp_path):
    rows = timed("a", 1.0, ("pixel", 2.0)), timed("b", 1.2, ("pixel", 2.1))
    assert words_of(tmp_path, *rows) == [
        "On pixel the order is that of the first device, where both tell two variants apart.",
    ]
    tied = timed("a", 1.0, ("pixel", 2.0)), timed("b", 1.001, ("pixel", 2.001))
    assert words_of(tmp_path / "tied", *tied) == []


def test_an_order_that_only_one_device_tells_is_a_tie_and_no_disagreement(tmp_path):
    rows = timed("bn", 1.0, ("pixel", 1.0)), timed("id", 0.9, ("pixel", 1.004))
    assert words_of(tmp_path, *rows) == [
        "A tie on pixel: id and bn (95 % intervals that overlap; the first device tells them"
        " apart)."
    ]
    turned = timed("bn", 1.0, ("pixel", 1.2)), timed("id", 1.001, ("pixel", 1.0))
    assert words_of(tmp_path / "turned", *turned) == [
        "A tie on the first device: bn and id (95 % intervals that overlap; pixel tells them"
        " apart)."
    ]


def test_two_further_devices_are_compared_with_each_other_too(tmp_path):
    rows = (
        timed("a", 1.0, ("pixel", 1.0), ("pi", 1.3)),
        timed("b", 1.002, ("pixel", 1.2), ("pi", 1.1)),
    )
    assert "On pi the order differs from pixel: a is slower than b there." in words_of(
        tmp_path, *rows
    )


def test_variants_of_one_graph_are_compared_once(tmp_path):
    rows = [timed("bn", 1.0, ("pixel", 1.0)), timed("bn-again", 1.0, ("pixel", 1.0))]
    rows.append(timed("id", 0.9, ("pixel", 1.1)))
    assert words_of(tmp_path, *rows) == ["On pixel the order differs: id is slower than bn there."]


@pytest.mark.parametrize(
    "change",
    [{"pixel:device": "adb: another phone"}, {"reference": "x"}, {"pixel:ratio_low": ""}],
    ids=str,
)
def test_ratios_that_are_not_of_one_kind_are_not_compared(tmp_path, change):
    rows = timed("bn", 1.0, ("pixel", 1.0)), timed("id", 0.9, ("pixel", 1.1)) | change
    assert words_of(tmp_path, *rows) == []


def test_what_was_not_timed_on_a_device_yet_is_left_out_of_the_comparison(tmp_path):
    rows = timed("a", 1.0, ("pixel", 1.0)), timed("b", 0.9, ("pixel", None))
    assert words_of(tmp_path, *rows) == []


def test_of_very_many_pairs_one_is_named_and_the_rest_counted(tmp_path):
    rows = [timed(f"v{i}", 1 + i / 10, ("pixel", 1 + (4 - i) / 10)) for i in range(5)]
    assert words_of(tmp_path, *rows) == [
        "On pixel the order differs in 10 of 10 pairs that both tell apart: v0, for one, is"
        " slower than v1 there."
    ]
    rows = [timed(f"v{i}", 1 + i / 10, ("pixel", 1 + i / 1000)) for i in range(5)]
    assert words_of(tmp_path / "tied", *rows) == [
        "10 pairs tie on pixel: v0 and v1, for one (95 % intervals that overlap; the first device"
        " tells them apart)."
    ]


def test_of_more_variants_than_can_be_compared_that_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr("analysis.devices.COMPARED_AT_MOST", 2)
    rows = [timed(f"v{i}", 1 + i / 10, ("pixel", 1 + (4 - i) / 10)) for i in range(3)]
    assert words_of(tmp_path, *rows) == [
        "On pixel the order differs: v0 is slower than v1 there.",
        "Of 3 variants timed on pixel, 2 were compared.",
    ]


RATIO = st.integers(100, 130).map(lambda n: n / 100)


@given(st.lists(st.tuples(RATIO, RATIO), min_size=2, max_size=4))  # of 6 pairs all are named
def test_an_order_differs_exactly_where_both_intervals_are_disjoint(tmp_path_factory, ratios):
    folder = tmp_path_factory.mktemp("study")
    rows = [timed(f"v{i}", here, ("pixel", there)) for i, (here, there) in enumerate(ratios)]

    def slower(a, b):
        return a * 0.995 > b * 1.005

    expected = {
        (f"v{i}", f"v{j}")
        for i, a in enumerate(ratios)
        for j, b in enumerate(ratios)
        if slower(a[1], b[1]) and slower(b[0], a[0]) and ratios.index(a) == i
        if ratios.index(b) == j
    }
    sentences = [words for words in words_of(folder, *rows) if "differs" in words]
    said = {
        (part.split()[0], fast)
        for sentence in sentences
        for part in sentence.split(": ")[1].removesuffix(" there.").split("; ")
        for fast in part.split(" slower than ")[1].split(", ")
    }
    assert said == expected


@pytest.mark.parametrize("width", [80, 100])
def test_two_devices_fit_an_ordinary_terminal_with_all_columns(tmp_path, width):
    text = printed(studies.write_devices(tmp_path), width)
    table = text[: text.index("*: on the Pareto front")]
    assert max(map(len, table.splitlines())) <= width and "…" not in text
    for cell in ("[0.895, 0.904]", "[1.105, 1.116]", "[10.95,", "11.05]", "98.33", "100.00", "2.3"):
        assert cell in table, cell
    assert "no room" not in text


def test_many_devices_are_cut_to_the_terminal_and_what_was_cut_is_named(tmp_path):
    devices = [(f"phone{i}", 1.1) for i in range(9)]
    folder = studies.write_study(tmp_path, [timed("a", 1.0, *devices)], swept="variant")
    text = printed(folder, 80)
    assert max(map(len, text[: text.index("latency ms:")].splitlines())) <= 80
    (line,) = re.findall(r"no room for: (.*?);", text.replace("\n", " "))
    assert "phone8 ms" in line and "MACs M" in line and "phone0 ms" not in line
    assert "phone0 ms: the same on adb: Google Pixel 8 (gs301)" in text
    assert "no room" not in printed(folder, 250)


def test_the_legend_says_what_the_time_is_and_which_device_each_column_is_of(tmp_path):
    row = timed("a", 1.0, ("pixel", 1.1), ("tablet", None), reference=LONG)
    text = printed(studies.write_study(tmp_path, [row], swept="variant"), 200)
    assert "latency ms: ratio × the long-run median of repghostnet-1.0x, comparable between" in text
    assert "ratio: latency over that of repghostnet-1.0x, with its 95 % interval" in text
    assert "pixel ms: the same on adb: Google Pixel 8 (gs301)" in text
    assert "tablet ms: not measured yet" in text


def test_a_flag_is_said_once_with_the_variants_that_it_makes_doubtful(tmp_path):
    folder = studies.write_devices(tmp_path)
    assert flag_words(find(load(folder)).variants) == [
        f"dconv, id: {studies.BUSY}",
        "dconv: the reference network drifted by 2.1 %",
    ]
    text = printed(folder, 100)
    assert text.count("63 %") == 1
    assert f"doubtful latency dconv, id: {studies.BUSY}" in text


def test_of_very_many_flags_the_rest_is_counted(tmp_path):
    rows = [timed(f"v{i}", 1 + i / 10, flags=f"another process used {i} %") for i in range(12)]
    words = flag_words(found_in(tmp_path, *rows).variants)
    assert len(words) == 9 and words[-1].startswith("and 4 more flags")


def test_the_report_has_times_ratios_flags_and_both_devices(tmp_path):
    body = body_of(studies.write_devices(tmp_path))
    assert "11.00\n[10.95, 11.05]" in body and "1.100\n[1.095, 1.105]" in body
    assert "pixel ms: the same on adb: Google Pixel 8 (gs301)" in body
    assert f"dconv, id: {studies.BUSY}" in body
    assert "pixel: adb: Google Pixel 8 (gs301)" in body[body.index("Provenance") :]
    assert "Doubtful latencies" not in body_of(studies.write_demo(tmp_path))


def test_a_hover_tells_every_device_and_what_is_doubtful(tmp_path):
    results = load(studies.write_devices(tmp_path))
    texts = [text for trace in tradeoff(find(results))["data"] for text in trace.get("text", [])]
    (text,) = (text for text in texts if text.startswith("<b>id"))
    assert "pixel ms <b>11.00 [10.95, 11.05], ratio 1.100 [1.095, 1.105] adb: Google" in text
    assert "ratio to repghostnet-1.0x <b>0.900 [0.895, 0.904]" in text
    assert f"doubtful <b>{studies.BUSY}" in text
    bars = latency_bars(found_in(tmp_path, timed("a", 1.0, ("pixel", 1.1))))
    assert "pixel ms <b>11.00 [10.95, 11.05]" in bars["data"][0]["text"][0]


def test_names_of_devices_and_references_are_no_markup(tmp_path):
    bad = "<b onclick='x()'>[red]&"
    row = timed("a", 1.0, (bad, 1.1), reference=bad, flags=bad)
    folder = studies.write_study(tmp_path, [row], swept="variant")
    assert "<b onclick" not in body_of(folder)
    assert bad in printed(folder, 250)
    text = latency_bars(find(load(folder)))["data"][0]["text"][0]
    assert "&lt;b onclick" in text and "<b onclick" not in json.dumps(text)


def test_seeds_of_one_graph_share_the_time_on_a_further_device(tmp_path):
    rows = [studies.run(variant="a", seed=seed, **studies.there("pixel", 1.1)) for seed in (0, 1)]
    rows.append(studies.failed("no memory", variant="a", seed=2) | studies.not_there("pixel"))
    (variant,) = found_in(tmp_path, *rows).variants
    assert variant.further["pixel"].ms == 11


def test_a_variant_that_waits_for_a_worker_is_shown_and_not_counted_as_done(tmp_path):
    row = timed("b", 1.0) | studies.UNTIMED | {"state": "timing"}
    folder = studies.write_study(tmp_path, [timed("a", 1.0), row], swept="variant")
    assert "2 runs (1 measured, 1 timing)" in printed(folder, 100)
    assert find(load(folder)).measured_only
    assert 'class="timing"' in body_of(folder)


def test_a_study_of_one_device_has_no_column_of_another(tmp_path):
    results = load(studies.write_demo(tmp_path))
    shown = columns(results, find(results), ratios=True)
    assert not any(column.further for column in shown)
    assert [c.name for c in shown if " ms" in c.name] == ["latency ms"]


def test_latencies_against_two_references_are_never_compared(tmp_path):
    found = found_in(tmp_path, timed("a", 1.0), timed("b", 2.0, reference=LONG))
    assert headline(found) == [
        "On local paired against repghostnet-0.5x: a: 1.000 ms (ratio 1.000 [0.995, 1.005]).",
        "On local paired against repghostnet-1.0x: b: 2.000 ms (ratio 2.000 [1.990, 2.010]).",
    ]
