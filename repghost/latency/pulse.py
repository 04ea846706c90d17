"""Something done again and again beside the work at hand."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def pulsing(every_s: float, beat: Callable[[], None], name: str) -> Iterator[None]:
    """Call `beat` every so many seconds, from a thread, until the block ends."""
    done = threading.Event()

    def pulse() -> None:
        while not done.wait(every_s):
            beat()

    thread = threading.Thread(target=pulse, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
