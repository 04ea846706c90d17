"""What a reader does with a report, in a real browser: click, filter, sort, download, switch on."""

import csv
import io

import pytest
import studies
import yaml
from pages import POINTS, drawn, opened

from analysis.paper.tables import paper_rows
from analysis.report import write_report

pytestmark = pytest.mark.browser


@pytest.fixture
def ablation(tmp_path):
    """A study of 13 variants whose runs have configs and certificates."""
    folder = studies.write_ablation(tmp_path)
    with (folder / "results.csv").open() as lines:
        for row in csv.DictReader(lines):
            studies.write_certificate(tmp_path, row["key"])
            model = {"reparam": row["model.reparam"], "width": float(row["model.width"])}
            config = {"model": model, "seed": int(row["seed"] or 0)}
            path = tmp_path / "runs" / row["key"] / "config.yaml"
            path.write_text(yaml.safe_dump(config))
    return folder


def shown_rows(page):
    return [
        " ".join(row.split())
        for row in page.locator("#variants tbody tr:visible").all_inner_texts()
    ]


def click_point(page, label: str) -> None:
    """Click on the middle of a variant's point."""
    place = page.evaluate(
        """(label) => {
            const options = [...document.querySelectorAll("#chosen option")];
            const variant = options.findIndex((option) => option.text === label) - 1;
            const plot = document.getElementById("tradeoff");
            const points = plot.data.filter((t) => t.customdata && t.name !== "undecided");
            const trace = points.find((t) => t.customdata.includes(variant));
            const i = trace.customdata.indexOf(variant);
            const { xaxis, yaxis } = plot._fullLayout;
            const [x, y] = [xaxis.d2p(trace.x[i]), yaxis.d2p(trace.y[i])];
            const box = plot.getBoundingClientRect();
            return [box.x + xaxis._offset + x, box.y + yaxis._offset + y];
        }""",
        label,
    )
    page.mouse.move(*place)
    page.locator("#tradeoff .hovertext").first.wait_for(timeout=5000)
    page.mouse.click(*place)


def test_a_click_on_a_point_opens_its_curves_certificate_and_config(browser, ablation):
    with opened(browser, write_report(ablation)) as page:
        drawn(page, "tradeoff")
        click_point(page, "reparam=none width=0.5")
        page.wait_for_selector("#chosen-inside:not([hidden])")
        assert page.locator("#chosen-title").inner_text() == "reparam=none width=0.5"
        assert page.evaluate("document.activeElement.id") == "chosen-title"
        assert page.locator("#chosen-scores .scatterlayer .trace").count() == 3  # a line a seed
        runs = page.locator("#chosen-runs > details")
        assert runs.count() == 3
        first = " ".join(runs.first.inner_text().split())
        assert "model.reparam bn none" in first
        assert "model.width" not in first  # the baseline has the same
        assert '"relative_error": 3.1e-07' in first


def test_a_chosen_variant_has_the_numbers_of_the_table(browser, tmp_path):
    rows = [
        studies.run(**{"model.reparam": "bn"}, latency_ms=52.5, latency_low=52, latency_high=53),
        studies.failed("no memory", **{"model.reparam": "id"}),
    ]
    folder = studies.write_study(tmp_path, rows, swept="model.reparam")
    with opened(browser, write_report(folder)) as page:
        for name, numbers in (("bn", ["98.61", "52.50 [52.00, 53.00]"]), ("id", ["-", "-"])):
            page.select_option("#chosen", label=name)
            assert page.locator("#chosen-words dd").all_inner_texts()[1:3] == numbers


def test_the_table_opens_a_variant_by_keyboard(browser, ablation):
    with opened(browser, write_report(ablation)) as page:
        page.locator("#variants button.open").nth(2).focus()
        page.keyboard.press("Enter")
        page.wait_for_selector("#chosen-inside:not([hidden])")
        row = page.locator("#variants tr[data-chosen]")
        label = page.locator("#chosen-title").inner_text()
        assert row.count() == 1
        assert row.locator("button.open").inner_text() == label.split()[0]


def test_filters_leave_the_same_variants_in_table_scatter_and_count(browser, ablation):
    with opened(browser, write_report(ablation)) as page:
        drawn(page, "tradeoff")
        page.select_option("select[data-key='model.width']", label="1.0")
        assert len(shown_rows(page)) == 4
        assert page.locator("#count").inner_text() == "4 of 13 variants"
        assert page.evaluate(POINTS) == 4
        page.fill("[data-bound=words]", "dconv")
        assert len(shown_rows(page)) == 1
        page.fill("[data-bound=words]", "")
        page.fill("[data-bound=score]", "98.3")
        left = shown_rows(page)
        assert 0 < len(left) < 4
        page.click("#show-all")
        assert len(shown_rows(page)) == 13
        assert page.evaluate(POINTS) == 12
        page.fill("[data-bound=latency]", "2")
        assert all("0.5" in row for row in shown_rows(page))


def range_of(page, name: str) -> list[float]:
    return page.evaluate(f"document.getElementById('{name}')._fullLayout.xaxis.range")


def zoom(page, name: str) -> list[float]:
    """Drag over a part of a figure; return the range of its x axis from then on."""
    drawn(page, name)
    before = range_of(page, name)
    box = page.locator(f"#{name} .nsewdrag").bounding_box()
    page.mouse.move(box["x"] + 50, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + 200, box["y"] + 150, steps=5)
    page.mouse.up()
    there = f"document.getElementById('{name}')._fullLayout.xaxis.range[0]"
    page.wait_for_function(f"{there} !== {before[0]}")
    return range_of(page, name)


def test_a_filter_leaves_the_zoom_and_the_figures_that_it_does_not_touch(browser, ablation):
    with opened(browser, write_report(ablation)) as page:
        drawn(page, "effects")
        page.evaluate("""() => {
            window.redrawn = 0;
            document.getElementById("effects").on("plotly_afterplot", () => { redrawn += 1; });
        }""")
        zoomed = {name: zoom(page, name) for name in ("tradeoff", "loss")}
        page.select_option("select[data-key='model.width']", label="1.0")
        assert page.evaluate(POINTS) == 4
        assert {name: range_of(page, name) for name in zoomed} == zoomed
        assert page.evaluate("redrawn") == 0


def test_a_layer_that_is_switched_on_is_in_sight_whatever_was_zoomed_to(browser, ablation):
    with opened(browser, write_report(ablation)) as page:
        drawn(page, "tradeoff")
        page.check("[data-layer=paper]")
        whole = range_of(page, "tradeoff")
        zoom(page, "tradeoff")
        page.uncheck("[data-layer=paper]")
        zoom(page, "tradeoff")
        page.check("[data-layer=paper]")
        assert range_of(page, "tradeoff") == whole


def test_filters_hold_for_curves_and_parallel_coordinates(browser, ablation):
    with opened(browser, write_report(ablation)) as page:
        page.select_option("select[data-key='model.width']", label="1.5")
        drawn(page, "scores")
        drawn(page, "parallel")
        paths = "document.querySelectorAll('#{} path.js-line').length"
        assert page.evaluate(paths.format("scores")) == 12  # of 36: 4 variants, 3 seeds
        assert page.evaluate(paths.format("parallel")) == 4


def test_a_heading_sorts_numbers_as_numbers_and_back(browser, ablation):
    with opened(browser, write_report(ablation)) as page:
        sorter = page.locator("#variants th button", has_text="latency ms")
        column = "[...document.querySelectorAll('#variants tbody tr')].map((r) => parseFloat("
        column += "r.children[[...document.querySelectorAll('#variants th')].findIndex((t) =>"
        column += " t.textContent === 'latency ms')].textContent))"
        sorter.click()
        values = page.evaluate(column)
        assert values == sorted(values) and values[-1] == 15.2
        sorter.click()
        assert page.evaluate(column) == sorted(values, reverse=True)
        heading = page.locator("#variants th[aria-sort]")
        assert heading.get_attribute("aria-sort") == "descending"


def test_a_heading_sorts_settings_by_value_where_they_are_numbers(browser, tmp_path):
    widths = ("0.8", "0.58", "1.11", "0.5")
    rows = [studies.run(**{"model.width": width}) for width in widths]
    folder = studies.write_study(tmp_path, rows, swept="model.width")
    with opened(browser, write_report(folder)) as page:
        page.locator("#variants th button", has_text="width").click()
        assert page.locator("#variants button.open").all_inner_texts() == sorted(widths)


def test_the_csv_holds_what_the_filters_leave(browser, ablation):
    with opened(browser, write_report(ablation)) as page:
        page.select_option("select[data-key='model.reparam']", label="id")
        with page.expect_download() as waiting:
            page.click("#csv")
        text = waiting.value.path().read_text()
        assert waiting.value.suggested_filename == "width-by-branch.csv"
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["model.width"] for row in rows] == ["1.5", "1.0", "0.5"]
    assert float(rows[0]["latency_ms"]) == 4.6
    assert float(rows[0]["top1"]) == pytest.approx(99.0, abs=0.3)
    assert {row["front_status"] for row in rows} <= {"front", "undecided", "dominated"}


def test_csv_keeps_commas_quotes_and_lines_of_names(browser, tmp_path):
    name = 'a,"b" <i>'
    rows = [studies.run(**{"model.reparam": name}), studies.run(**{"model.reparam": "bn"})]
    folder = studies.write_study(tmp_path, rows, swept="model.reparam")
    with opened(browser, write_report(folder)) as page, page.expect_download() as waiting:
        page.click("#csv")
        text = waiting.value.path().read_text()
    assert name in [row["model.reparam"] for row in csv.DictReader(io.StringIO(text))]


def test_the_papers_networks_can_be_switched_on(browser, ablation):
    with opened(browser, write_report(ablation)) as page:
        drawn(page, "tradeoff")
        before = page.evaluate(POINTS)
        known = [row for row in paper_rows("Table 3") if row.latency_ms and row.top1]
        assert page.locator("#paper-note").is_hidden()
        page.check("[data-layer=paper]")
        assert page.evaluate(POINTS) == before + len(known)
        assert page.locator("#paper-note").is_visible()
        page.uncheck("[data-layer=paper]")
        assert page.evaluate(POINTS) == before


def test_hostile_names_stay_text_in_filters_inspector_and_options(browser, tmp_path):
    bad = "<script>window.broken=1</script><img src=x onerror='window.broken=1'>"
    rows = [studies.run(**{"model.reparam": bad}, key="k"), studies.run(**{"model.reparam": "b"})]
    folder = studies.write_study(tmp_path, rows, bad, "model.reparam")
    studies.write_curve(tmp_path, "k", 98.0)
    (tmp_path / "runs" / "k" / "config.yaml").write_text(yaml.safe_dump({"model": {bad: bad}}))
    (tmp_path / "runs" / "k" / "certificate.json").write_text(bad)
    with opened(browser, write_report(folder, folder)) as page:
        page.select_option("#chosen", label=f"reparam={bad}")
        page.wait_for_selector("#chosen-scores .main-svg", state="attached")
        page.select_option("select[data-key='model.reparam']", label=bad)
        assert page.locator("#chosen-title").inner_text() == f"reparam={bad}"
        assert len(shown_rows(page)) == 1
        assert page.locator("main img").count() == 0
        assert page.evaluate("window.broken") is None


@pytest.mark.parametrize("width", [390, 1280])
def test_an_open_variant_and_another_study_fit_the_page(browser, ablation, width):
    path = write_report(ablation, ablation)
    with opened(browser, path, viewport={"width": width, "height": 900}) as page:
        page.select_option("#chosen", index=1)
        for name in ("effects", "factors", "parallel", "chosen-scores"):
            drawn(page, name)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.locator("#compared tbody tr").count() == 13
