"""Processes that do tasks side by side; they end with their parent, even if it is killed."""

import multiprocessing
import os
import queue
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any, Generic, TypeVar

LOOK_S = 1.0  # between two looks at whether a process died

Task = TypeVar("Task")
Done = TypeVar("Done")


class Crew(Generic[Task, Done]):
    """`size` processes that call `work` on tasks; a context manager that ends them."""

    def __init__(self, work: Callable[[Task], Done], size: int) -> None:
        self._tasks: Any = multiprocessing.Queue()
        self._done: Any = multiprocessing.Queue()
        self._processes: list[BaseProcess] = [
            multiprocessing.Process(
                target=_serve, args=(work, self._tasks, self._done), daemon=True
            )
            for _ in range(size)
        ]

    def __enter__(self) -> "Crew[Task, Done]":
        for process in self._processes:
            process.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._tasks.cancel_join_thread()  # what is still in there, nobody will read
        for process in self._processes:
            process.terminate()
            process.join()

    def each(self, tasks: Sequence[Task]) -> Iterator[tuple[Task, Done]]:
        """Yield each task with what came of it, in the order in which they end.

        Raises:
            Exception: what `work` raised, at once.
            ChildProcessError: a process was killed.
        """
        for number, task in enumerate(tasks):
            self._tasks.put((number, task))
        for _ in tasks:
            number, done = self._next()
            if isinstance(done, Exception):
                raise done
            yield tasks[number], done

    def _next(self) -> tuple[int, Any]:
        while True:
            try:
                found: tuple[int, Any] = self._done.get(timeout=LOOK_S)
                return found
            except queue.Empty:
                self._require_alive()

    def _require_alive(self) -> None:
        for process in self._processes:
            if process.exitcode is not None:
                raise ChildProcessError(
                    f"a process of {len(self._processes)} ended with exit code {process.exitcode}"
                    " (-9: killed, often for want of memory); workers=1 needs the least"
                )


def _serve(work: Callable[[Any], Any], tasks: Any, done: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one that started us
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        number, task = tasks.get()
        try:
            done.put((number, work(task)))
        except Exception as error:
            done.put((number, error))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
