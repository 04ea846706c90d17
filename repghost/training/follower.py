"""A process of a training that another one leads: it does what it is told until that hangs up."""

import contextlib
import os
import queue
import signal
import sys
import threading
import time
from multiprocessing.connection import Client
from pathlib import Path

from repghost.atomic import read_json
from repghost.interrupt import INTERRUPTED, Interrupted, Stop
from repghost.training.line import Call, Done, Line
from repghost.training.lost import RankLost
from repghost.training.team import HERE, LEAVE_S, LOST, MEET_S, TOKEN, Place

LOOK_S = 0.2


def follow_job(meeting: Path, place: Place) -> int:
    """Do what the first task of this job says until it is done; return the exit code.

    Raises:
        RankLost: it did not come.
    """
    stop = _listening()
    give_up = time.monotonic() + MEET_S
    with stop.deferred():
        while (said := read_json(meeting)) is None:
            if time.monotonic() > give_up:
                raise RankLost(f"rank 0 did not come within {MEET_S:g} s")
            time.sleep(LOOK_S)
        return _follow((said["host"], said["port"]), said["token"], place, stop)


def _listening() -> Stop:
    """Hear signals: they are told to the others at the next step of a training."""
    stop = Stop()
    stop.listen()
    return stop


def _follow(address: tuple[str, int], token: str, place: Place, stop: Stop) -> int:
    """Do what the leader at `address` says until it hangs up; return the exit code."""
    try:
        connection = Client(address, authkey=token.encode())
        connection.send(place.rank)
    except (OSError, EOFError):
        return 0  # it is done, or gone, and had no work
    busy = threading.Event()
    line = Line(connection, lambda message: _end_soon(message, busy))
    while isinstance(call := line.messages.get(), Call):
        busy.set()
        code = _obey(call, address[0], line, place, stop)
        busy.clear()
        if code:
            return code
    return 0


def _end_soon(message: Call | None, busy: threading.Event) -> None:
    """In a line's thread: when the leader is gone, end where an exchange with it does not."""
    if message is None and busy.is_set():
        end = threading.Timer(LEAVE_S, os._exit, [LOST])
        end.daemon = True
        end.start()


def _obey(call: Call, host: str, line: Line, place: Place, stop: Stop) -> int:
    """Take part in a training; tell the leader how it ended, and return the exit code."""
    try:
        _take_part(call, host, place, stop)
    except Interrupted:
        line.send(Done())
        return INTERRUPTED
    except RankLost as lost:
        print(f"rank {place.rank}: {lost}", file=sys.stderr, flush=True)
        with contextlib.suppress(queue.Empty):  # leave after the leader, which should not take
            line.messages.get(timeout=LEAVE_S)  # this process for the one that died
        return LOST
    except Exception as error:
        plain = isinstance(error, ValueError)
        reason = str(error) if plain else f"{type(error).__name__}: {error}"
        print(f"rank {place.rank}: {reason}"[:2000], file=sys.stderr, flush=True)
        line.send(Done(reason or "failed", getattr(error, "errno", None)))
        return 1
    line.send(Done())
    return 0


def _take_part(call: Call, host: str, place: Place, stop: Stop) -> None:
    from repghost.training.ranks import Ranks, check_devices, device_of, joined, reach_store

    device = device_of(place.local_rank, place.local_world)
    ranks = Ranks(place.rank, call.world)
    store = reach_store(host, call.port, call.world)
    with joined(ranks, store, device, call.silence_s):
        check_devices(ranks, device)
        call.function(*call.arguments, ranks=ranks, device=device, stop=stop)


def main() -> int:
    """Follow the leader that started this process."""
    port, rank, world = map(int, sys.argv[1:])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C: the leader's end is ours
    stop = _listening()
    with stop.deferred():
        return _follow((HERE, port), os.environ[TOKEN], Place(rank, world, rank, world), stop)


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # not through destructors that would wait for who is gone
