"""Opens reports in a real headless Chromium; tests/services/chromium.sh installs it."""

import pytest
import studies
from pages import POINTS, drawn, opened

from analysis.report import write_report

HOSTILE = (
    "</script><script>window.broken=1</script><img src=x onerror='window.broken=1'>"
    "<a href='javascript:window.broken=1'>a</a> &lt;i&gt; %{x}"
)

pytestmark = pytest.mark.browser


def hover_text(page) -> str:
    """Return what pointing at the first point shows."""
    point = page.locator("#tradeoff path.point").first
    point.scroll_into_view_if_needed()
    box = point.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    return page.locator("#tradeoff .hovertext").first.text_content(timeout=5000)


def test_a_large_study_is_drawn_with_a_point_a_variant(browser, tmp_path):
    with opened(browser, write_report(studies.write_ablation(tmp_path))) as page:
        assert page.evaluate(POINTS) == 12
        assert page.locator("#tradeoff .points + .errorbars, #tradeoff .errorbar").count() >= 12
        assert page.locator("#variants tbody tr").count() == 13
        drawn(page, "scores")
        assert page.locator("#scores .scatterlayer .trace").count() == 12  # a trace a style
        drawn(page, "loss")
        assert page.locator("#loss .scatterlayer .trace").count() == 24
        assert "bn width=1.5" in page.locator("#tradeoff .annotation-text").all_text_contents()


# Holds what the page does after its first paint until `release()`.
HELD = """
    const [frame, later, held] = [requestAnimationFrame, setTimeout, []];
    window.requestAnimationFrame = window.setTimeout = (run) => held.push(run);
    window.release = () => {
        Object.assign(window, { requestAnimationFrame: frame, setTimeout: later });
        for (const run of held) run();
    };
"""


def test_the_page_is_used_before_plotly_is_there_and_drawn_as_it_was_left(browser, tmp_path):
    path = write_report(studies.write_ablation(tmp_path))
    with opened(browser, path, stage="usable", script=HELD) as page:
        page.select_option("select[data-key='model.width']", label="1.0")
        page.select_option("#chosen", label="id width=1.0")
        assert page.locator("#variants tbody tr:visible").count() == 4
        assert page.locator("#chosen-words dd").first.inner_text() == "finished"
        assert page.evaluate("window.Plotly === undefined")
        assert page.locator(".main-svg").count() == 0
        page.evaluate("release()")
        drawn(page, "tradeoff")
        assert page.evaluate(POINTS) == 4
        drawn(page, "chosen-scores")
        assert page.locator("#chosen-scores .scatterlayer .trace").count() == 3  # a line a seed


def test_hovering_a_point_shows_its_numbers(browser, tmp_path):
    with opened(browser, write_report(studies.write_demo(tmp_path))) as page:
        text = hover_text(page)
        for part in ("bn", "98.89", "1.234 [1.221, 1.249]", "1 seed: no interval", "same graph as"):
            assert part in text


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_fits_its_width_and_no_label_covers_another(browser, tmp_path, width):
    path = write_report(studies.write_ablation(tmp_path))
    with opened(browser, path, viewport={"width": width, "height": 900}) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        texts = page.locator("#tradeoff .annotation-text")
        boxes = [texts.nth(i).bounding_box() for i in range(texts.count())]
        assert len(boxes) >= 3
        assert not [(a, b) for i, a in enumerate(boxes) for b in boxes[i + 1 :] if overlap(a, b)]


@pytest.mark.parametrize("width", [390, 1280])
def test_a_study_of_two_devices_fits_the_page_and_shows_both_on_hover(browser, tmp_path, width):
    path = write_report(studies.write_devices(tmp_path))
    with opened(browser, path, viewport={"width": width, "height": 900}) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        table = page.locator(".scroll[aria-label='All variants']")
        hidden = table.evaluate("element => element.scrollWidth - element.clientWidth")
        assert (hidden > 0) == (width == 390)
        text = hover_text(page)
        assert "pixel ms" in text and "adb: Google Pixel 8 (gs301)" in text


def overlap(a, b) -> bool:
    beside = a["x"] + a["width"] <= b["x"] + 1 or b["x"] + b["width"] <= a["x"] + 1
    above = a["y"] + a["height"] <= b["y"] + 1 or b["y"] + b["height"] <= a["y"] + 1
    return not (beside or above)


def test_hostile_text_is_shown_and_does_nothing(browser, tmp_path):
    rows = [
        studies.run(**{"model.reparam": HOSTILE}, key="k", device=HOSTILE),
        studies.run(**{"model.reparam": "bn"}, top1=97.0, device=HOSTILE),
        studies.failed(HOSTILE, **{"model.reparam": "id"}),
    ]
    folder = studies.write_study(tmp_path, rows, HOSTILE, "model.reparam")
    studies.write_provenance(folder, command=HOSTILE)
    studies.write_curve(tmp_path, "k", 98.0)
    with opened(browser, write_report(folder)) as page:
        assert page.evaluate(POINTS) == 2
        assert page.locator("h1").inner_text() == HOSTILE
        assert "&lt;i&gt; %{x}" in hover_text(page)
        assert page.locator("#tradeoff a, main img, main a[href^=javascript]").count() == 0
        assert page.evaluate("window.broken") is None


def test_the_policy_stops_a_script_that_would_slip_in(browser, tmp_path):
    path = write_report(studies.write_demo(tmp_path))
    code = """() => {
        const script = document.createElement("script");
        script.textContent = "window.broken = 1";
        document.body.append(script);
    }"""
    with opened(browser, path, expected="Content Security Policy") as page:
        page.evaluate(code)
        assert page.evaluate("window.broken") is None


def test_colours_follow_dark_mode_and_print_is_light(browser, tmp_path):
    path = write_report(studies.write_demo(tmp_path))
    fill = "getComputedStyle(document.querySelector('#tradeoff path.point')).fill"
    with opened(browser, path, color_scheme="dark") as page:
        dark = page.evaluate(fill)
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        printed = page.evaluate(fill)
        page.evaluate("dispatchEvent(new Event('afterprint'))")
        assert page.evaluate(fill) == dark
        page.emulate_media(color_scheme="light")
        drawn_light = page.locator(f"#tradeoff path.point[style*='fill: {printed}']")
        drawn_light.first.wait_for(timeout=10_000)
        assert printed != dark


def test_printing_draws_every_figure_as_high_as_its_place(browser, tmp_path):
    with opened(browser, write_report(studies.write_ablation(tmp_path))) as page:
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        page.emulate_media(media="print")
        plots = page.locator(".plot:visible").all()
        heights = [plot.evaluate("element => element.offsetHeight") for plot in plots]
        drawn_as = [plot.locator(".main-svg").first.get_attribute("height") for plot in plots]
        assert len(plots) == 6 and [str(height) for height in heights] == drawn_as
        assert page.locator("#inspector").is_hidden(), "nothing was chosen"


def test_the_whole_table_is_in_sight_on_a_screen(browser, tmp_path):
    with opened(browser, write_report(studies.write_ablation(tmp_path))) as page:
        table = page.locator(".scroll[aria-label='All variants']")
        assert table.evaluate("element => element.scrollWidth - element.clientWidth") == 0
        assert "chance" in table.locator("th").all_inner_texts()


@pytest.mark.parametrize("rows", [1, 0], ids=["one row", "all failed"])
def test_a_report_of_little_opens(browser, tmp_path, rows):
    bad = studies.failed("no memory", **{"model.reparam": "id"})
    written = [studies.run(**{"model.reparam": "bn"})] if rows else [bad]
    folder = studies.write_study(tmp_path, written, swept="model.reparam")
    with opened(browser, write_report(folder)) as page:
        assert page.evaluate(POINTS) == rows


def test_a_study_without_training_is_drawn_as_bars_with_every_name(browser, tmp_path):
    with opened(browser, write_report(studies.write_measured(tmp_path))) as page:
        assert page.locator("#latency .barlayer .point").count() == 4
        names = page.locator("#latency .yaxislayer-above text").all_text_contents()
        assert names[0] == "repghostnet-0.5x" and len(names) == 4
        assert page.locator("#tradeoff, #scores").count() == 0


def test_variants_at_one_point_stay_tellable_apart(browser, tmp_path):
    names = ("bn", "id", "dconv")
    rows = [studies.run(**{"model.reparam": name}) for name in names]
    folder = studies.write_study(tmp_path, rows, swept="model.reparam")
    with opened(browser, write_report(folder)) as page:
        points = page.locator("#tradeoff path.point")
        widths = {round(points.nth(i).bounding_box()["width"]) for i in range(3)}
        assert len(widths) == 3
        assert page.locator("#tradeoff .annotation-text").text_content() == "bn, dconv, id"
