"""How a device is entered: once, however often inside itself, and left in order."""

from contextlib import ExitStack
from types import TracebackType
from typing import Self


class Reentrant:
    """A device of which the outermost `with` alone counts.

    What `_enter` puts on its stack is undone on leaving, also where entering fails halfway.
    """

    _depth = 0
    _held: ExitStack

    @property
    def is_entered(self) -> bool:
        """Whether it is inside a `with`."""
        return self._depth > 0

    def __enter__(self) -> Self:
        if self._depth == 0:
            with ExitStack() as stack:
                self._enter(stack)
                self._held = stack.pop_all()
        self._depth += 1
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._held.close()

    def _enter(self, stack: ExitStack) -> None:
        raise NotImplementedError
