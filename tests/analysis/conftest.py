"""A real headless Chromium for the tests of reports."""

from collections.abc import Iterator

import pytest
from pages import FLAGS
from services.chromium import CHROMIUM


@pytest.fixture(scope="module")
def browser() -> Iterator:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=list(FLAGS))
        yield chromium
        chromium.close()
