"""Several trainings on one stream of batches: one is loaded once, then each takes its step.

A member runs on a thread of its own, and is there what it would be alone: its code, its random
state, its checkpoints. But one thread at a time is at work: it has the word until it asks for its
next batch, or ends. The conductor, on the main thread, loads the batch that those furthest behind
ask for and gives each of them the word. Members that stand elsewhere, after a kill, wait until the
others have come up to them.
"""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch

from repghost.interrupt import Between, Stop
from repghost.training.batches import Batch, Source

HALT_S = 1.0  # between two looks at whether a member is to end alone


class Place(NamedTuple):
    """Where in the stream a member stands: the epoch, validation passes in it so far, a step."""

    epoch: int = -1
    passes: int = 0
    step: int = 0


class MemberStop(Stop):
    """Whether one member is to end: because its job is, or, by `is_halted`, alone."""

    def __init__(self, job: Stop, is_halted: Callable[[], bool]) -> None:
        super().__init__()
        self._job, self._is_halted = job, is_halted
        self._looked = 0.0

    def look(self) -> bool:
        """Look whether it is to end."""
        if self._job.asked:
            self.asked = self._job.asked
        elif not self.asked and time.monotonic() - self._looked > HALT_S:
            self._looked = time.monotonic()
            self.asked = "its sweep" if self._is_halted() else None
        return bool(self.asked)

    @property
    def by_job(self) -> bool:
        """Whether all members are to end."""
        return bool(self._job.asked)


class Member:
    """One training of a cohort, on its thread: its part of the talk with the conductor."""

    def __init__(self, name: str, stop: MemberStop, stream: "Stream") -> None:
        self.name, self.stop, self._stream = name, stop, stream
        self.place: Place | None = None  # of the batch that it waits for; None: it has ended
        self.error: BaseException | None = None
        self._handed: Batch | Exception | None = None
        self._word, self._back = threading.Semaphore(0), threading.Semaphore(0)
        self._idle_s = 0.0

    def begin(self, work: Callable[[], None]) -> None:
        """Let `work` run until it waits for its first batch, or has ended."""

        def body() -> None:
            self._word.acquire()
            try:
                work()
            except BaseException as error:
                self.error = error.with_traceback(None)  # which holds the member's network
                self.error.__context__ = None
            self.place = None
            self._back.release()

        threading.Thread(target=body, name=self.name, daemon=True).start()
        self._give_word()

    def say(self, text: str) -> None:
        """Print a line under the member's name."""
        print(f"{self.name}: {text}", flush=True)

    def clock(self) -> float:
        """Return a time in seconds that stands still while others have the word."""
        return time.monotonic() - self._idle_s

    def source(self, open: Callable[[], Source[Any]], device: torch.device) -> Source[Any]:
        """Return the member's view of the cohort's batches; the first to come opens them."""
        return SharedSource(self, self._stream.opened(open, device).steps)

    def hand(self, batch: Batch | Exception | None, loaded_s: float = 0.0) -> None:
        """Let it go on with a batch that took so long, or what is raised; None ends an epoch."""
        self._handed = batch
        self._idle_s -= loaded_s
        self._give_word()

    def ask(self, place: Place) -> Batch | None:
        """Give the word back until there is the batch at `place`; None at the end.

        Raises:
            Between: it was told to end.
            Exception: the batch could not be made.
        """
        self.place, began = place, time.monotonic()
        self._back.release()
        self._word.acquire()
        self._idle_s += time.monotonic() - began
        handed, self._handed = self._handed, None
        if self.stop.asked:
            raise Between(f"told to end by {self.stop.asked}")
        if isinstance(handed, Exception):
            raise handed
        return handed

    def _give_word(self) -> None:
        self._word.release()
        self._back.acquire()


class SharedSource:
    """A member's view of the cohort's stream; see `batches.Source`."""

    def __init__(self, member: Member, steps: int) -> None:
        self._member, self.steps = member, steps
        self._at = Place()

    def train(self, epoch: int, start: int) -> Iterator[Batch]:
        self._at = Place(epoch, 0, start)
        return self._from(self._at)

    def val(self) -> Iterator[Batch]:
        self._at = Place(self._at.epoch, self._at.passes + 1)
        return self._from(self._at)

    def _from(self, place: Place) -> Iterator[Batch]:
        while (batch := self._member.ask(place)) is not None:
            yield batch
            place = place._replace(step=place.step + 1)


class Stream:
    """The cohort's batches by their place, each made once and taken to the device once."""

    def __init__(self) -> None:
        self._source: Source[Any] | None = None
        self._device = torch.device("cpu")
        self._next: Place | None = None
        self._batches: Iterator[Batch] = iter(())

    def opened(self, open: Callable[[], Source[Any]], device: torch.device) -> Source[Any]:
        """Return the source, opened by the first who wants it."""
        if self._source is None:
            self._source, self._device = open(), device
        return self._source

    def at(self, place: Place) -> Batch | None:
        """Return the batch at `place`, None where its epoch or pass ends."""
        assert self._source is not None
        if place != self._next:
            self.close()
            self._batches = (
                self._source.val() if place.passes else self._source.train(place.epoch, place.step)
            )
        self._next = place._replace(step=place.step + 1)
        batch = next(self._batches, None)
        if batch is None or len(batch.targets) == 0:
            return batch
        return batch.there(self._device)

    def close(self) -> None:
        """End what makes batches ahead."""
        if close := getattr(self._batches, "close", None):
            close()
        self._next, self._batches = None, iter(())


def conduct(members: list[Member], stream: Stream) -> None:
    """Bring members that have begun to their ends."""
    while waiting := [member for member in members if member.place is not None]:
        if told := [member for member in waiting if member.stop.look()]:
            for member in told:
                member.hand(None)
            continue
        place = min(member.place for member in waiting if member.place is not None)
        began = time.monotonic()
        batch = _loaded(stream, place)
        loaded_s = time.monotonic() - began
        for member in waiting:
            if member.place == place:
                member.hand(batch, loaded_s)
    stream.close()


def _loaded(stream: Stream, place: Place) -> Batch | Exception | None:
    """Return a batch, or what its making raised: those who wait for it fail with that."""
    try:
        return stream.at(place)
    except Exception as error:
        stream.close()
        return error
