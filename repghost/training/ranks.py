"""The processes that train one network, as one of them sees the others."""

import datetime
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import Store

from repghost.training.lost import RankLost
from repghost.training.rows import Rows

T = TypeVar("T")


class Ranks:
    """Process `rank` of `world` processes; what one asks here, all must ask, in the same order.

    Sums come out with the same bits on every process, and on every run. `cause` turns the
    library's error at a broken connection into the one that tells which process is gone.
    """

    def __init__(
        self, rank: int = 0, world: int = 1, cause: Callable[[Exception], Exception] | None = None
    ) -> None:
        self.rank, self.world = rank, world
        self._cause = cause or (lambda error: RankLost(_first_line(error)))

    @property
    def rows(self) -> Rows:
        """This process's part of every batch."""
        return Rows(self.rank, self.world)

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes files and talks to the user."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """Replace `values` by their sum over all processes, and return it.

        Raises:
            RankLost, RankFailed: another process is gone.
        """
        if self.world > 1:
            with self.heard():
                dist.all_reduce(values)
        return values

    def from_first(self, value: T) -> T:
        """Return what the first process gave; what others give is passed over."""
        held: list[Any] = [value]
        if self.world > 1:
            with self.heard():
                dist.broadcast_object_list(held, device=torch.device("cpu"))
        found: T = held[0]
        return found

    def of_all(self, value: T) -> list[T]:
        """Return what every process gave, by rank."""
        if self.world == 1:
            return [value]
        given: list[Any] = [None] * self.world
        with self.heard():
            dist.all_gather_object(given, value)
        return given

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Within this, what breaks is the connection to another process."""
        try:
            yield
        except RuntimeError as error:  # of gloo and NCCL, at a closed connection or a long silence
            raise self._cause(error) from error


ALONE = Ranks()


@contextmanager
def joined(ranks: Ranks, store: Store, device: torch.device, silence_s: float) -> Iterator[None]:
    """Let `ranks` exchange values: by NCCL between GPUs, else by gloo.

    Raises:
        RankLost: not all processes came.
    """
    if ranks.world == 1:
        yield
        return
    hook = sys.excepthook
    with ranks.heard():
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo",
            store=store,
            rank=ranks.rank,
            world_size=ranks.world,
            timeout=datetime.timedelta(seconds=silence_s),
        )
    sys.excepthook = hook  # torch's would write our messages in a style of its own
    try:
        yield
    except BaseException:
        if device.type != "cuda":  # NCCL would wait for whoever is gone; the process ends soon
            dist.destroy_process_group()
        raise
    dist.destroy_process_group()


def open_store(world: int) -> tuple[Store, int]:
    """Open the store at which the processes meet; return it, and the port where it listens."""
    store = dist.TCPStore("127.0.0.1", 0, world, True, wait_for_workers=False)  # type: ignore[attr-defined]
    return store, store.port


def reach_store(host: str, port: int, world: int) -> Store:
    """Return the store that another process opened."""
    store: Store = dist.TCPStore(host, port, world, False)  # type: ignore[attr-defined]
    return store


def device_of(local_rank: int, local_world: int) -> torch.device:
    """Return the device of one of `local_world` processes on this machine, made the current one.

    Raises:
        ValueError: there are GPUs, but fewer than processes.
    """
    if not torch.cuda.is_available():
        return torch.device("cpu")
    count = torch.cuda.device_count()
    if count == 1 and local_world == 1:
        return torch.device("cuda")
    if count != 1 and count < local_world:
        raise ValueError(
            f"hydra.launcher.tasks_per_node={local_world}: there are {count} GPUs here, one a task"
        )
    device = torch.device("cuda", local_rank % count)
    torch.cuda.set_device(device)
    return device


def check_devices(ranks: Ranks, device: torch.device) -> None:
    """Refuse two processes on one GPU, between which NCCL does not work.

    Raises:
        ValueError: there are such.
    """
    if device.type != "cuda" or ranks.world == 1:
        return
    uuid = torch.cuda.get_device_properties(device).uuid
    found = ranks.of_all(f"{socket.gethostname()} {uuid}")
    if len(set(found)) < len(found):
        raise ValueError(
            f"hydra.launcher.tasks_per_node: {len(found)} tasks share {len(set(found))} GPUs; one a"
            " task is needed (hydra.launcher.gpus_per_node or gpus_per_task)"
        )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
