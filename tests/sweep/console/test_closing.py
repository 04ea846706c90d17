"""What a sweep says at its end of latencies that did not settle."""

from types import SimpleNamespace

import pytest

from repghost.sweep.console.closing import _noise


@pytest.mark.parametrize(
    ("ended", "advice"),
    [
        ("rounds spent", "latency.repeat=3 with more latency.max_rounds measures it again"),
        ("time spent", "latency.repeat=3 with more latency.max_seconds measures it again"),
        ("the machine is not as usual", "latency.repeat=3 measures it again"),
    ],
)
def test_a_latency_that_did_not_settle_says_why_and_what_measures_it_again(ended, advice):
    spec = SimpleNamespace(precision=0.01, repeat=2)
    ticket = SimpleNamespace(settings=SimpleNamespace(latency=spec))
    latency = SimpleNamespace(settled=False, ended=ended)
    evaluator = SimpleNamespace(latency=lambda _: latency)
    assert _noise(ticket, evaluator) == [f"latency did not settle to 1% ({ended}); {advice}"]
    latency.settled = True
    assert _noise(ticket, evaluator) == []
