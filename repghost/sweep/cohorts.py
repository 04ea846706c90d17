"""Which variants are trained together, on one stream of batches."""

import uuid
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TypeVar

from repghost.sweep.ticket import Ticket

T = TypeVar("T")


def grouped(some: Iterable[T], size: int, stream: Callable[[T], str]) -> Iterator[list[T]]:
    """Yield groups of up to `size` whose trainings get the same batches, as `stream` says."""
    if size == 1:
        yield from ([one] for one in some)
        return
    alike: dict[str, list[T]] = {}
    for one in some:
        alike.setdefault(stream(one), []).append(one)
    for group in alike.values():
        for first in range(0, len(group), size):
            yield group[first : first + size]


class Cohorts:
    """Groups of up to `size` tickets whose trainings get the same batches, as `stream` says."""

    def __init__(self, size: int, stream: Callable[[Ticket], str]) -> None:
        self.size, self._stream = size, stream

    def of(self, tickets: Iterable[Ticket]) -> Iterator[list[Ticket]]:
        """Yield the tickets in their groups."""
        return grouped(tickets, self.size, self._stream)

    def ready(
        self, tickets: Iterable[Ticket], coming: Iterable[Ticket], room: int
    ) -> list[list[Ticket]]:
        """Return up to `room` groups; one that `coming` tickets may yet fill up waits for them."""
        if room == 0 or self.size == 1:
            return list(islice(self.of(tickets), room))
        growing = {self._stream(ticket) for ticket in coming}
        whole = (
            group
            for group in self.of(tickets)
            if len(group) == self.size or self._stream(group[0]) not in growing
        )
        return list(islice(whole, room))

    def named(self, tickets: Iterable[Ticket]) -> Iterator[tuple[Ticket, str]]:
        """Yield each ticket with a name that its group has for itself, "" where it is alone."""
        for group in self.of(tickets):
            name = uuid.uuid4().hex if len(group) > 1 else ""
            yield from ((ticket, name) for ticket in group)
