"""`python -m repghost.training.pack`: from words to a packed folder."""

import shutil
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from repghost.lock import Held, Lock
from repghost.provenance import commit, versions
from repghost.training.crew import Crew
from repghost.training.pack_index import INDEX, SPLITS, UNFINISHED, PackIndex, Shard, find_index
from repghost.training.pack_words import Asked, in_words
from repghost.training.packing import Packer, Task
from repghost.training.pictures import training_pictures, validation_pictures

LEAST_IN_SHARD = 1024  # images: what is made again after a kill
MOST_SHARDS = 256  # of a split: a training keeps each open
SAID = 20  # names of unreadable images on the screen
LOCK = ".pack.lock"
NON_TERMINAL_WIDTH = 120


def pack_command(asked: Asked) -> int:
    """Pack what is missing or damaged, then write the index; return the exit code.

    Raises:
        ValueError: `out` holds something else, or is being packed; there is nothing to pack.
        OSError: a shard cannot be written; what is done is kept.
    """
    console, known = _console(), _known(asked)
    lock = Lock(asked.out / LOCK, lease=False)
    try:
        lock.acquire()
    except Held as held:
        raise ValueError(f"out={asked.out}: {held} is packing there") from None
    try:
        packer = _packer(asked, known)
        _begin(asked.out)
        made = _packed(packer, asked.workers, console)
        index = _index(asked, packer, [shard for shard, _ in made])
        index.write()
        shutil.rmtree(asked.out / UNFINISHED)
    finally:
        lock.release()
    kept = sum(not is_new for _, is_new in made)
    _report(index, f"{len(made)} shards, {kept} of them were there and are whole", console)
    return 0


def check_command(asked: Asked) -> int:
    """Say whether a packed folder is whole and of these images; return 1 if it is not.

    Raises:
        ValueError: `out` is no packed folder, or packed otherwise.
    """
    console, known = _console(), _known(asked)
    if not known:
        raise ValueError(f"out={asked.out}: nothing is packed there; leave out check=true to pack")
    packer = _packer(asked, known)
    tasks = _tasks(packer)
    with Crew(packer.whole, min(asked.workers, len(tasks))) as crew:
        bad = sorted(task.file for task, shard in crew.each(tasks) if shard is None)
    for name in bad:
        console.print(f"{name}: missing, damaged, or of other images", markup=False)
    console.print(f"{len(tasks)} shards, {len(bad)} of them to be packed again")
    return int(bool(bad))


def _known(asked: Asked) -> dict[str, Shard]:
    """Return the shards of a finished pack in `out`, by file; refuse one with something else."""
    out = asked.out
    if out.exists() and not out.is_dir():
        raise ValueError(f"out={out}: is a file; give a folder")
    if (out / UNFINISHED).is_dir() and not (out / INDEX).exists():
        return {}
    index = find_index(out)
    if index is None:
        if out.is_dir() and any(one.name != LOCK for one in out.iterdir()):
            raise ValueError(f"out={out}: holds other files; give a new or empty folder")
        return {}
    if index.spec != asked.spec:
        raise ValueError(
            f"out={out}: is packed with {in_words(index.spec)}, asked is {in_words(asked.spec)};"
            " give another out=, or remove it"
        )
    return {shard.file: shard for split in SPLITS for shard in index.shards[split]}


def _packer(asked: Asked, known: dict[str, Shard]) -> Packer:
    train, val = training_pictures(asked.data), validation_pictures(asked.data)
    root = Path(asked.data.root or "").absolute()
    return Packer(asked.out, asked.spec, root, {"train": train, "val": val}, known)


def _begin(out: Path) -> None:
    """Note that packing has begun; remove what a killed run left half written."""
    (out / UNFINISHED).mkdir(exist_ok=True)
    for draft in [*out.glob(".*.tmp"), *(out / UNFINISHED).glob(".*.tmp")]:
        draft.unlink()


def _tasks(packer: Packer) -> list[Task]:
    return [task for split in SPLITS for task in _tasks_of(split, len(packer.pictures[split]))]


def _tasks_of(split: str, images: int) -> list[Task]:
    """Return the shards of a split: at most `MOST_SHARDS`, of equal size but for the last."""
    size = max(LEAST_IN_SHARD, -(-images // MOST_SHARDS))
    return [
        Task(split, number, start, min(start + size, images))
        for number, start in enumerate(range(0, images, size))
    ]


def _packed(packer: Packer, workers: int, console: Console) -> list[tuple[Shard, bool]]:
    """Return every shard in order, and whether it was made now."""
    tasks = _tasks(packer)
    done: dict[str, tuple[Shard, bool]] = {}
    with _progress(console) as progress, Crew(packer.pack, min(workers, len(tasks))) as crew:
        bar = progress.add_task("packing", total=sum(task.stop - task.start for task in tasks))
        for task, found in crew.each(tasks):
            done[task.file] = found
            progress.advance(bar, task.stop - task.start)
    return [done[task.file] for task in tasks]


def _index(asked: Asked, packer: Packer, shards: list[Shard]) -> PackIndex:
    classes = packer.pictures["train"].classes
    number = len(classes) if classes else asked.data.num_classes
    assert number is not None  # `counted` saw to it
    of = {s: tuple(one for one in shards if one.file.startswith(f"{s}-")) for s in SPLITS}
    made = {
        "root": asked.data.root,
        "name": asked.data.name,
        "commit": commit(),
        "versions": versions(),
    }
    index = PackIndex(asked.out, asked.spec, classes, number, of, made)
    for split in SPLITS:
        if index.images(split) == 0:
            first = index.skipped(split)[0]
            raise ValueError(
                f"nothing to pack: no image of {split} can be read ({first.name}: {first.reason})"
            )
    return index


def _report(index: PackIndex, shards: str, console: Console) -> None:
    for split in SPLITS:
        skipped = index.skipped(split)
        gigabytes = sum(shard.size_bytes for shard in index.shards[split]) / 1e9
        console.print(f"{split}: {index.images(split):,} images, {gigabytes:.2f} GB")
        for one in skipped[:SAID]:
            console.print(f"  left out {one.name}: {one.reason}", markup=False, soft_wrap=True)
        if len(skipped) > SAID:
            console.print(f"  and {len(skipped) - SAID} more, in {index.folder / INDEX}")
    console.print(f"{shards}; read them with data.root={index.folder}", soft_wrap=True)


def _console() -> Console:
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=NON_TERMINAL_WIDTH)


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    )
