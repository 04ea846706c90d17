"""Reports in a real headless Chromium; tests/services/chromium.sh installs it."""

from contextlib import contextmanager
from pathlib import Path

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
POINTS = """(() => {
    const place = document.getElementById("tradeoff");
    if (!place) return 0;
    const halos = place.data.filter((t) => t.name === "undecided").flatMap((t) => t.y);
    return place.querySelectorAll(".scatterlayer .points path.point").length
        - halos.filter((y) => y !== null).length;
})()"""


@contextmanager
def opened(
    browser,
    path: Path,
    expected: str = "nothing",
    stage: str = "ready",
    script: str = "",
    **options,
):
    """Open a report without network; leaving it fails on a console message or foreign request.

    Messages that hold `expected` are what the test provokes; `script` runs before the page's own;
    the test begins when the page has reached `stage`.
    """
    problems: list[str] = []
    context = browser.new_context(offline=True, **options)
    page = context.new_page()
    page.on("console", lambda message: problems.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: problems.append(f"error: {error}"))

    def seen(request) -> None:
        if request.url != path.as_uri() and not request.url.startswith(("data:", "blob:")):
            problems.append(f"request: {request.url}")

    page.on("request", seen)
    page.add_init_script(script)
    page.goto(path.as_uri())
    page.wait_for_selector(f"html[data-{stage}]", state="attached")
    yield page
    context.close()
    assert [problem for problem in problems if expected not in problem] == []


def drawn(page, name: str) -> None:
    """Scroll to a figure and wait until it is drawn."""
    page.locator(f"#{name}").scroll_into_view_if_needed()
    page.wait_for_selector(f"#{name} .main-svg", state="attached", timeout=15_000)
