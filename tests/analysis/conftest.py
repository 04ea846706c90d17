"""A real headless Chromium for the tests of reports, and a W&B for those of W&B."""

import os
from collections.abc import Iterator

import pytest
from pages import FLAGS
from services.chromium import CHROMIUM
from services.wandb_server import fake_wandb


@pytest.fixture(scope="module")
def browser() -> Iterator:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=list(FLAGS))
        yield chromium
        chromium.close()


@pytest.fixture
def alone(tmp_path, monkeypatch):
    """No W&B account; in the end W&B's service is gone, and the environment as before."""
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    yield
    import wandb

    wandb.teardown()
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def fake(alone, monkeypatch):
    """W&B's server on loopback, and an account there."""
    with fake_wandb() as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        yield server
