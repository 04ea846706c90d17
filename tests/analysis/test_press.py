"""Figures for a paper: what stands in them, their size, fonts and bytes, and what is left out."""

import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import studies
from matplotlib.lines import Line2D
from test_paper_operators import ADD, CONCAT, made_up, write

from analysis.__main__ import main
from analysis.press.curves import branches_figure
from analysis.press.style import COLORS, styled
from analysis.results import load

BRANCHES = ("no-reparam", "id", "dconv", "bn", "dconv+bn", "id+dconv+bn", "bn+relu")


def table7(outputs: Path, sides: tuple[str, ...] = ("true", "false")) -> Path:
    rows = []
    for width, top1, ms in (("0.5", 66.9, 1.0), ("1.0", 74.2, 2.0)):
        for side in sides:
            for seed in (0, 1):
                times = {"latency_ms": ms, "latency_low": 0.99 * ms, "latency_high": 1.01 * ms}
                row = studies.run(key=f"{width}{side}{seed}", seed=seed, top1=top1 + seed, **times)
                rows.append(row | {"model.width": width, "model.shortcut": side})
    folder = studies.write_study(outputs, rows, "table7", "model.width model.shortcut")
    studies.write_provenance(folder)
    return folder


def table6(outputs: Path, names: tuple[str, ...] = BRANCHES) -> Path:
    rows = []
    for number, name in enumerate(names):
        rows.append(studies.run(key=f"v{number}", variant=name, top1=97 + number / 10))
        studies.write_curve(outputs, f"v{number}", 97 + number / 10)
    folder = studies.write_study(outputs, rows, "table6", "variant")
    studies.write_provenance(folder)
    return folder


def texts(svg: Path) -> list[str]:
    """Return the words in a picture: letters are outlines, and matplotlib notes what they say."""
    ET.parse(svg)
    return [word.strip() for word in re.findall(r"<!--(.*?)-->", svg.read_text(), re.DOTALL)]


def inches(svg: Path) -> float:
    return float(ET.parse(svg).getroot().attrib["width"].removesuffix("pt")) / 72


def test_figure1_has_the_studys_variants_and_every_family_of_the_paper(tmp_path, capsys):
    main(["figures", str(table7(tmp_path)), "--out", str(tmp_path / "out")])
    said = texts(tmp_path / "out/figure1.svg")
    assert "width=0.5 shortcut=true" in said and "RepGhostNet" in said and "EfficientNet-B0" in said
    assert "ShuffleNetV2" not in said, "the paper has no latency of it"
    assert inches(tmp_path / "out/figure1.svg") == pytest.approx(7.0)
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("figure2: left out: no operator profiles") for line in lines)
    assert any(line.startswith("table6: left out: no training of a variant") for line in lines)


def test_figure2_shows_the_shares_of_every_batch_size(tmp_path):
    folder = table7(tmp_path)
    for batch, concat_ms in ((1, 0.2), (8, 0.4)):
        both = made_up(CONCAT, batch, each_ms=concat_ms), made_up(ADD, batch, each_ms=0.1)
        write(tmp_path, f"b{batch}", *both)
    main(["figures", str(folder)])
    picture = folder / "figures/figure2.svg"
    # 32 operators of 0.2, 0.4 or 0.1 ms; beside concatenations 31 others of 0.05 ms, else 26
    shares = [100 * t / (t + 31 * 0.05) for t in (6.4, 12.8)] + [100 * 3.2 / (3.2 + 26 * 0.05)]
    said = texts(picture)
    assert {f"{share:.1f}" for share in shares} <= set(said)
    assert {"1", "8", "concatenation", "add"} <= set(said)
    assert inches(picture) == pytest.approx(3.3)
    assert all(color in picture.read_text() for color in COLORS[:2])


def test_table6_has_a_curve_for_each_branch_and_the_papers_scores(tmp_path):
    folder = table6(tmp_path)
    main(["figures", str(folder)])
    said = texts(folder / "figures/table6.svg")
    ends = [f"{name}: {load(folder).curve(row)[-1].score:.2f}" for name, row in rows_of(folder)]
    assert set(ends) <= set(said) and len(ends) == 7
    assert "bn (+ReLU)" in said


def branches_drawn(outputs: Path, settings: list[dict[str, str]]) -> list[Line2D]:
    """Return the learning curves of a study with these settings, a run each."""
    rows = []
    for number, own in enumerate(settings):
        rows.append(studies.run(key=f"v{number}", top1=97 + number / 10) | own)
        studies.write_curve(outputs, f"v{number}", 97 + number / 10)
    swept = " ".join(settings[0])
    with styled():
        return branches_figure(load(studies.write_study(outputs, rows, swept=swept))).axes[0].lines


def test_variants_of_one_branch_are_told_apart_by_their_lines(tmp_path):
    widths = [f"{n / 10}" for n in range(5, 13)]
    own = [{"model.reparam": name, "model.width": w} for name in ("bn", "id") for w in widths]
    lines = branches_drawn(tmp_path, own)
    looks = [(line.get_marker(), line.get_linestyle(), line.get_fillstyle()) for line in lines]
    assert len(set(looks)) == len(own) == 16
    assert len({line.get_color() for line in lines}) == 2


def test_a_second_relu_makes_a_variant_another_row_of_table6_or_none(tmp_path):
    pairs = [(branch, relu) for branch in ("none", "bn", "id") for relu in ("after_add", "both")]
    own = [{"model.reparam": branch, "model.relu": relu} for branch, relu in pairs]
    lines = branches_drawn(tmp_path, own)
    names = [str(line.get_label()).partition(":")[0] for line in lines]
    assert sorted(names[:2]) == ["reparam=none after_add", "reparam=none both"], (
        "the ReLU acts in no other way"
    )
    assert names[2:] == ["id after_add", "bn after_add", "bn both"], "id with both is in no row"
    assert [line.get_color() for line in lines[2:]] == [COLORS[1], COLORS[3], COLORS[6]]


def rows_of(folder: Path):
    return [(row.settings["variant"], row) for row in load(folder).rows]


def test_table7_has_a_line_with_and_one_without_shortcut_as_far_as_there_are_scores(tmp_path):
    folder = table7(tmp_path / "both")
    main(["figures", str(folder)])
    assert texts(folder / "figures/table7.svg").count("without shortcut") == 2, "ours, the paper's"
    part = table7(tmp_path / "part", sides=("true",))
    main(["figures", str(part)])
    assert texts(part / "figures/table7.svg").count("without shortcut") == 1


def test_equal_data_give_equal_bytes_and_fonts_are_embedded(tmp_path):
    folder = table7(tmp_path)
    for out in "ab":
        code = "from analysis.__main__ import main; import sys; main(sys.argv[1:])"
        words = [sys.executable, "-c", code, "figures", str(folder), "--out", str(tmp_path / out)]
        subprocess.run(words, check=True, capture_output=True)
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == ["figure1.pdf", "figure1.svg", "table7.pdf", "table7.svg"]
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    pdf = (tmp_path / "a/figure1.pdf").read_bytes()
    assert b"/FontFile2" in pdf and b"/CreationDate" not in pdf and b"/Type3" not in pdf


def test_a_name_from_a_config_is_neither_markup_nor_mathematics(tmp_path):
    row = studies.run(variant="$x_1$ --><script>")
    folder = studies.write_study(tmp_path, [row], swept="variant")
    main(["figures", str(folder)])
    root = ET.parse(folder / "figures/figure1.svg").getroot()
    assert not [element for element in root.iter() if element.tag.endswith("script")]
    assert any("$x_1$" in word for word in texts(folder / "figures/figure1.svg"))


def test_a_study_without_any_data_is_refused_with_what_is_missing(tmp_path, capsys):
    folder = studies.write_measured(tmp_path)
    with pytest.raises(SystemExit) as refused:
        main(["figures", str(folder)])
    for name in ("figure1", "figure2", "table6", "table7"):
        assert f"{name}: left out: " in str(refused.value)
    assert not (folder / "figures").exists()


def test_other_commands_do_not_import_matplotlib(tmp_path):
    code = (
        "import sys; from analysis.__main__ import main\n"
        f"main(['pareto', {str(studies.write_demo(tmp_path))!r}])\n"
        "assert not {'matplotlib', 'torch'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
