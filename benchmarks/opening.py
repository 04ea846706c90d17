"""A Chromium in which a page opens unwatched: one that is driven while it opens is half as fast.

A driver keeps stacks of exceptions, for which the engine reads large scripts again (plotly.js
throws some while it starts). So the page marks its own stages, and is asked for them when all is
over.
"""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.request import Request, urlopen

from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = "/usr/bin/chromium"
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--remote-debugging-port=0",
)
START_S = 30.0  # until the browser answers
CALM_S = 3.0  # until it has set itself up
SIZE = (1280, 900)
STAGES = """async () => {
    const [paint] = performance.getEntriesByName("first-contentful-paint");
    const stages = performance.getEntriesByType("mark").map((one) => [one.name, one.startTime]);
    const tasks = await new Promise((done) => {
        const observer = new PerformanceObserver((list) => done(list.getEntries()));
        observer.observe({ type: "longtask", buffered: true });
    });
    return { ...Object.fromEntries(stages), paint: paint.startTime,
        held: Math.max(...tasks.map((task) => task.duration)) };
}"""


class Unwatched:
    """A running browser; `port` is where it answers on this machine."""

    def __init__(self, port: int) -> None:
        self._port = port

    @contextmanager
    def opened(self, path: Path, settle_s: float) -> Iterator[tuple[Page, dict[str, float]]]:
        """Open a file in a new tab; yield it after `settle_s`, with the ms of its own stages.

        `paint` is the first contentful paint, `held` the longest time that nothing else could run.
        """
        url = path.resolve().as_uri()
        tab = Request(f"http://127.0.0.1:{self._port}/json/new?{url}", method="PUT")
        urlopen(tab).close()
        time.sleep(settle_s)
        with sync_playwright() as playwright:
            driver = playwright.chromium.connect_over_cdp(f"http://127.0.0.1:{self._port}")
            page = _page(driver, url)
            yield page, page.evaluate(STAGES)
            page.close()


@contextmanager
def browser() -> Iterator[Unwatched]:
    """Start a headless Chromium with a profile of its own; it ends with the block."""
    with TemporaryDirectory() as profile:
        words = [
            CHROMIUM,
            *FLAGS,
            f"--user-data-dir={profile}",
            f"--window-size={SIZE[0]},{SIZE[1]}",
        ]
        process = subprocess.Popen([*words, "about:blank"], stderr=subprocess.DEVNULL)
        try:
            port = _port(Path(profile) / "DevToolsActivePort")
            time.sleep(CALM_S)
            yield Unwatched(port)
        finally:
            process.terminate()
            process.wait()


def _port(said: Path) -> int:
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        if said.is_file() and (words := said.read_text().split()):
            return int(words[0])
        time.sleep(0.1)
    raise TimeoutError(f"{CHROMIUM} did not answer within {START_S:.0f} s")


def _page(driver: Browser, url: str) -> Page:
    return next(page for one in driver.contexts for page in one.pages if page.url == url)
