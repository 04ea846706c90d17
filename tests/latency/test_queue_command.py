"""`python -m repghost.latency retry | forget`: what they say."""

from pathlib import Path

import pytest
from queue_contract import PHONE, by, request

from repghost.latency.__main__ import main
from repghost.latency.queue.database import Database
from repghost.latency.queue.requests import MOST_ATTEMPTS, Requests


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A database in which one measurement has failed and another waits."""
    url = f"sqlite:///{tmp_path}/latency.db"
    requests = Requests(Database(url))
    requests.add(request("a"))
    for _ in range(MOST_ATTEMPTS):
        (claim,) = requests.claim(*PHONE, by("me"), 8)
        requests.fail(claim, "MNN cannot load it")
    requests.add(request("b"))
    return url


def test_retry_says_how_many_wait_again(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    for count in ("1 failed measurement on pixel waits", "0 failed measurements on pixel wait"):
        assert main(["retry", "--device", "pixel", "--storage", url]) == 0
        assert capsys.readouterr().out == f"{count} again\n"


@pytest.mark.parametrize("command", ["retry", "forget"])
def test_a_device_that_is_not_known_is_refused_with_those_that_are(
    url: str, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "--device", "nokia", "--storage", url]) == 2
    said = capsys.readouterr().err
    assert said == "error: --device nokia: there is none; known are pixel\n"
