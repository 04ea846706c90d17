"""A signal turned into a wish to stop: at once, or at the next step where one is being made."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED = 75  # exit code of a job that is to be run again
SIGNALS = (signal.SIGTERM, signal.SIGUSR2)  # of a cluster: end soon; the time limit is near


class Interrupted(BaseException):
    """The job was told to end; what it had done is in the checkpoint.

    Like KeyboardInterrupt it may come between any two lines, a library's too: where those take any
    `Exception` (a logging handler, which says "Logging error" and goes on) it would be lost.
    """


class Between(Interrupted):
    """It came while the next batch was waited for: there is a state to save."""


class Stop:
    """Whether this process was told to end, and by which signal.

    Without a signal handler (`listen`) it is never asked, as in the foreground, where Ctrl-C does.
    """

    def __init__(self) -> None:
        self.asked: str | None = None
        self._deferred = 0
        self._pid = os.getpid()

    def listen(self) -> None:
        """Handle the signals from now on; to be called in the main thread."""
        for number in SIGNALS:
            signal.signal(number, self._on_signal)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Within this a signal only sets `asked`, so that a state can be saved before the end."""
        self._deferred += 1
        try:
            yield
        finally:
            self._deferred -= 1

    def obey(self) -> None:
        """End here if that was asked for.

        Raises:
            Interrupted: a signal came.
        """
        if self.asked:
            raise Interrupted(f"told to end by {self.asked}")

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if os.getpid() != self._pid:  # a forked loader worker: it has nothing to save
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        self.asked = signal.Signals(number).name
        if not self._deferred:
            self.obey()
