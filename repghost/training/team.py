"""The processes of a training find each other: the first leads, the others do what it says.

On this machine the leader starts the others; on a cluster the tasks of one job meet through a file
that says where the leader listens. The leader alone knows the run, its lock and its user; the
others wait for calls. Whoever dies is missed within seconds, and then all end.
"""

import contextlib
import json
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import AuthenticationError
from multiprocessing.connection import Listener
from pathlib import Path
from typing import TYPE_CHECKING, Any

import repghost
from repghost.atomic import replace_file
from repghost.training.line import Call, Done, Line
from repghost.training.lost import RankFailed, RankLost

if TYPE_CHECKING:
    from torch import device as Device

    from repghost.training.ranks import Ranks

MEETING = "REPGHOST_TEAM"  # in a job of several tasks: the file that says where its leader listens
TOKEN = "REPGHOST_TEAM_TOKEN"
MEET_S = 600.0  # for all tasks of a job to begin, and to import torch
LOOK_S = 0.5  # between two looks for processes that ended before they came
TELL_S = 3.0  # in which a broken connection and a lost process are seen to be the same
LEAVE_S = 30.0  # for a process to end by itself after another one is gone
LOST = 76  # exit code of a process that ends because another one is gone
HERE = "127.0.0.1"
FOLLOWER = "repghost.training.follower"


@dataclass(frozen=True)
class Place:
    """Which process this is: of all, and of those on this machine."""

    rank: int = 0
    world: int = 1
    local_rank: int = 0
    local_world: int = 1

    @classmethod
    def of_job(cls, environment: Mapping[str, str]) -> "Place":
        """Return the place of a task of a SLURM job that began all of its tasks as one step."""
        world = int(environment["SLURM_NTASKS"])
        nodes = int(environment.get("SLURM_NNODES", "1"))
        rank, local = int(environment["SLURM_PROCID"]), int(environment["SLURM_LOCALID"])
        return cls(rank, world, local, -(-world // nodes))


@dataclass
class Team:
    """The leader's side of the processes of a training.

    `last_words` is called with the reason when this process is stuck in an exchange with one that
    is gone; the process ends right after it. One that takes no part in an exchange for `silence_s`
    counts as hung.
    """

    place: Place = field(default_factory=Place)
    last_words: Callable[[Exception], None] = lambda error: None
    silence_s: float = 600.0
    _listener: Listener | None = None
    _children: list["subprocess.Popen[bytes]"] = field(default_factory=list)
    _lines: dict[int, Line] = field(default_factory=dict)  # by rank
    _done: set[int] = field(default_factory=set)  # ranks whose call has ended
    _gone: int = 0  # rank of one that is not there for another call
    _loss: Exception | None = None
    _lost: threading.Event = field(default_factory=threading.Event)
    _together: bool = False

    @contextlib.contextmanager
    def together(
        self, function: Callable[..., None], *arguments: object
    ) -> Iterator[tuple["Ranks", "Device"]]:
        """Have all others call `function(*arguments, ranks=, device=, stop=)`, and take part here.

        Raises:
            RankLost: a process did not come, died or fell silent.
            RankFailed: the code of another process failed.
        """
        from repghost.training.ranks import Ranks, check_devices, device_of, joined, open_store

        ranks = Ranks(self.place.rank, self.place.world, self._cause)
        device = device_of(self.place.local_rank, self.place.local_world)
        if self.place.world == 1:
            yield ranks, device
            return
        self._meet()
        self._done.clear()
        self._together = True
        try:
            if self._loss:
                raise self._loss
            store, port = open_store(self.place.world)
            for line in self._lines.values():
                line.send(Call(function, arguments, port, self.place.world, self.silence_s))
            with joined(ranks, store, device, self.silence_s):
                check_devices(ranks, device)
                yield ranks, device
            self._wait_for_all()
        finally:
            self._together = False

    def close(self) -> None:
        """Let the others go, and wait for those that were started here."""
        for line in self._lines.values():
            line.close()
        if self._listener:
            self._listener.close()
        for child in self._children:
            try:
                child.wait(LEAVE_S)
            except subprocess.TimeoutExpired:
                child.kill()

    def __enter__(self) -> "Team":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _meet(self) -> None:
        """Wait until all have come.

        Raises:
            RankLost: one died on its way, or did not come in time.
        """
        if self._gone:
            raise RankLost(f"rank {self._gone} is gone")
        met = threading.Event()
        threading.Thread(target=self._await_all, args=[met], daemon=True).start()
        try:
            while len(self._lines) < self.place.world - 1:
                self._accept()
        finally:
            met.set()

    def _accept(self) -> None:
        assert self._listener is not None
        try:
            connection = self._listener.accept()
            rank = connection.recv()
        except (AuthenticationError, EOFError):
            return  # a stranger, or one that died: then it is missed soon
        except OSError as error:
            raise self._loss or RankLost(f"a process did not come: {error}") from error
        self._lines[rank] = Line(connection, partial(self._hear, rank))

    def _await_all(self, met: threading.Event) -> None:
        """In a thread: end the wait for processes that cannot come any more."""
        give_up = time.monotonic() + MEET_S
        while not met.wait(LOOK_S):
            ended = [rank for rank, one in enumerate(self._children, 1) if one.poll() is not None]
            late = [rank for rank in range(1, self.place.world) if rank not in self._lines]
            if not ended and time.monotonic() < give_up:
                continue
            how = "ended before it began" if ended else f"did not come within {MEET_S:g} s"
            self._loss = RankLost(f"rank {[*ended, *late][0]} {how}")
            assert self._listener is not None
            with contextlib.suppress(OSError):
                _shut(self._listener)
            return

    def _hear(self, rank: int, message: Done | None) -> None:
        """In a line's thread: note who is gone, or failed, and see that this process ends too."""
        if isinstance(message, Done):
            self._done.add(rank)
            if message.failure:
                self._lose(RankFailed(f"rank {rank}: {message.failure}", message.errno))
        elif rank in self._done:
            self._gone = rank
        else:
            self._lose(RankLost(f"rank {rank} died"))

    def _lose(self, loss: Exception) -> None:
        if self._loss is not None:
            return
        self._loss = loss
        self._lost.set()
        if self._together:
            end = threading.Timer(LEAVE_S, self._end, [loss])
            end.daemon = True
            end.start()

    def _end(self, loss: Exception) -> None:
        """End a process that is still stuck in an exchange with one that is gone."""
        if not self._together:
            return
        print(f"{type(loss).__name__}: {loss}", file=sys.stderr, flush=True)
        self.last_words(loss)
        os._exit(LOST)

    def _cause(self, error: Exception) -> Exception:
        self._lost.wait(TELL_S)
        said = (str(error).strip().splitlines() or [""])[0]
        return self._loss or RankLost(f"a process fell silent: {said[:200]}")

    def _wait_for_all(self) -> None:
        """Wait for the others to end their call, which they do with us.

        Raises:
            RankLost, RankFailed: one does not.
        """
        for line in self._lines.values():
            line.messages.get()
        if self._loss:
            raise self._loss


def started_here(processes: int, environment: Mapping[str, str] = os.environ) -> Team:
    """Return a team of this process and `processes - 1` that are started now on this machine."""
    if processes == 1:
        return Team()
    token = secrets.token_hex(16)
    team = Team(Place(0, processes, 0, processes))
    team._listener = Listener((HERE, 0), backlog=processes, authkey=token.encode())
    code = str(Path(repghost.__file__).parents[1])
    paths = [code, *filter(None, [environment.get("PYTHONPATH")])]
    around = {**environment, TOKEN: token, "PYTHONPATH": os.pathsep.join(paths)}
    port = str(team._listener.address[1])
    for rank in range(1, processes):
        words = [sys.executable, "-m", FOLLOWER, port, str(rank), str(processes)]
        team._children.append(subprocess.Popen(words, stdin=subprocess.DEVNULL, env=around))
    return team


def meeting_of_job(environment: Mapping[str, str] = os.environ) -> Path | None:
    """Return the file through which the tasks of this job meet, None where it has one task."""
    return Path(environment[MEETING]) if environment.get(MEETING) else None


def leading(meeting: Path, place: Place) -> Team:
    """Return the team of a job's tasks, as their first: it says in `meeting` where it listens."""
    token = secrets.token_hex(16)
    team = Team(place)
    is_one_node = place.world == place.local_world
    host = HERE if is_one_node else socket.gethostname()
    bound = HERE if is_one_node else ""
    team._listener = Listener((bound, 0), "AF_INET", backlog=place.world, authkey=token.encode())
    said = {"host": host, "port": team._listener.address[1], "token": token}
    replace_file(meeting, partial(_write_secret, json.dumps(said)))
    return team


def _write_secret(text: str, draft: Path) -> None:
    """Write what only this user may read: who knows it can have the others run anything."""
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
        file.write(text)


def _shut(listener: Listener) -> None:
    """Wake who waits for a connection."""
    inner: Any = listener
    inner._listener._socket.shutdown(socket.SHUT_RDWR)
