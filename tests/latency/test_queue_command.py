"""`python -m repghost.latency status | retry | forget`: what they say."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from queue_contract import PHONE, by, request
from store_contract import IDENTITY, MEASURED

from repghost.latency.__main__ import main
from repghost.latency.queue.database import Database
from repghost.latency.queue.requests import MOST_ATTEMPTS, Requests
from repghost.latency.store import Store


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


def test_status_says_how_far_apart_the_sessions_of_a_device_stand(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, ratio in enumerate((1.0, 1.01, 0.99)):
        identity = replace(IDENTITY, repeat=number)
        again = replace(MEASURED, identity=identity, session=f"{number}", latency_ratio=ratio)
        Store(url).add(again)
    assert main(["status", "--storage", url]) == 0
    assert (
        "local: Some CPU: 95 % of sessions give a ratio within ± 4.2 %" in capsys.readouterr().out
    )
    assert main(["status", "--storage", url, "--json"]) == 0
    spread = json.loads(capsys.readouterr().out)["spreads"]["local: Some CPU"]
    assert (spread["sessions"], spread["graphs"]) == (3, 1)


@pytest.mark.parametrize("command", ["retry", "forget"])
def test_a_device_that_is_not_known_is_refused_with_those_that_are(
    url: str, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "--device", "nokia", "--storage", url]) == 2
    said = capsys.readouterr().err
    assert said == "error: --device nokia: there is none; known are pixel\n"
