"""A signal becomes a wish to stop, wherever it comes."""

import logging
import os
import signal
from collections.abc import Iterator

import pytest

from repghost.interrupt import SIGNALS, Interrupted, Stop


@pytest.fixture
def stop() -> Iterator[Stop]:
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    stop = Stop()
    stop.listen()
    yield stop
    for number, handler in handlers.items():
        signal.signal(number, handler)


def come() -> None:
    os.kill(os.getpid(), signal.SIGUSR2)


@pytest.mark.usefixtures("stop")
def test_it_ends_code_that_takes_any_exception() -> None:
    with pytest.raises(Interrupted, match="told to end by SIGUSR2"):
        try:
            come()
        except Exception:
            pytest.fail("taken")


@pytest.mark.usefixtures("stop")
def test_it_is_not_lost_while_a_line_is_logged() -> None:
    """As submitit does on SIGCONT, which SLURM sends just before the signal."""

    class Late(logging.StreamHandler):  # type: ignore[type-arg]
        def format(self, record: logging.LogRecord) -> str:
            come()
            return super().format(record)

    log = logging.Logger("a job's")
    log.addHandler(Late())
    with pytest.raises(Interrupted):
        log.warning("bypassing a signal")


def test_deferred_it_is_only_noted(stop: Stop) -> None:
    with stop.deferred():
        come()
        assert stop.asked == "SIGUSR2"
    with pytest.raises(Interrupted):
        stop.obey()
