"""A report of detectors in a real headless Chromium; tests/services/chromium.sh installs it."""

import pytest
from detectors import row, write, write_examples
from pages import drawn, opened

from analysis.report import write_report

HOSTILE = "</text><img src=x onerror='window.broken=1'>"
pytestmark = pytest.mark.browser
LIT = "(e, what) => getComputedStyle(e)[what]"


@pytest.fixture
def report(tmp_path):
    folder = write(tmp_path, row(0.5, 20.0, 1.0, "maskrcnn"), row(1.0, 31.5, 2.0, "maskrcnn"))
    for key in ("maskrcnn0.5", "maskrcnn1.0"):
        write_examples(tmp_path, key, masks=True, name=HOSTILE)
    return write_report(folder)


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_images_load_fit_the_page_and_their_boxes_stand_where_they_should(
    browser, report, width, scheme
):
    size = {"width": width, "height": 900}
    with opened(browser, report, viewport=size, color_scheme=scheme) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        pictures = page.locator("details[open] svg.seen[role=img]")
        assert pictures.count() == 2
        pictures.first.scroll_into_view_if_needed()
        place, box = (
            pictures.first.bounding_box(),
            pictures.first.locator("rect.found").bounding_box(),
        )
        assert 230 < place["width"] < width
        scale = place["width"] / 160
        assert box["x"] - place["x"] == pytest.approx(22.5 * scale, abs=2.5)
        assert box["height"] == pytest.approx(61 * scale, abs=5)
        whole = page.evaluate(
            """async () => {
                const image = new Image();
                image.src = document.querySelector("svg.seen image").getAttribute("href");
                await image.decode();
                return image.naturalWidth;
            }"""
        )
        assert whole == 160
        assert page.evaluate("window.broken") is None


def test_annotated_and_found_differ_without_colour_and_stand_out_on_any_image(browser, report):
    with opened(browser, report) as page:
        picture = page.locator("svg.seen[role=img]").first
        dashes = [
            picture.locator(f"rect.{kind}").first.evaluate(LIT, "strokeDasharray")
            for kind in ("truth", "found")
        ]
        assert dashes[0] != "none" and dashes[1] == "none"
        assert picture.locator("rect.rim").first.evaluate(LIT, "stroke") == "rgb(0, 0, 0)"
        name = picture.locator("text.found")
        assert name.text_content() == f"{HOSTILE} 0.91"
        assert name.evaluate(LIT, "paintOrder").startswith("stroke")
        assert float(name.evaluate(LIT, "fontSize").removesuffix("px")) > 5
        assert picture.locator("text.truth").last.text_content() == "3"
        assert picture.get_attribute("aria-label").startswith("000000.jpg: annotated </text>")


def test_curves_are_drawn_and_follow_the_filters(browser, report):
    with opened(browser, report) as page:
        drawn(page, "precision-masks-75")
        lines = "#precision-masks-75 .scatterlayer .trace path.js-line"
        assert page.locator(lines).count() == 2
        page.locator("[data-bound=score]").fill("25")
        page.wait_for_function(f"document.querySelectorAll('{lines}[d]').length === 1")


def test_a_print_shows_images_and_curves_in_light(browser, report):
    with opened(browser, report, color_scheme="dark") as page:
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        page.emulate_media(media="print")
        picture = page.locator("svg.seen[role=img]").first
        assert picture.is_visible() and picture.bounding_box()["width"] > 200
        caption = page.locator(".pictures figcaption").first
        assert caption.evaluate(LIT, "color") == "rgb(90, 103, 117)"
