"""`python -m analysis wandb STUDY --pull ENTITY/PROJECT`: a study made anew from W&B alone."""

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console
from rich.progress import Progress

from analysis.results import load
from analysis.run_files import read_object
from analysis.wandb_account import require_account, signed_in
from analysis.wandb_summary import FILES as STUDY_FILES
from analysis.wandb_summary import FURTHER, JOB_TYPE, PROFILES
from analysis.wandb_summary import KEPT as STUDY_KEPT
from repghost.latency.record import Measurement, from_record
from repghost.tracking.told import FILES, KEPT, LATENCY

AT_ONCE = 8  # runs
WANTED = tuple(f"{FILES}/{name}" for name in (*KEPT, LATENCY))


def pull(study: str, source: str, outputs: Path, console: Console) -> Path:
    """Make the folder of a study below `outputs` from its W&B runs; return it.

    `source` is a project, with its entity where that is not the user's own. Runs that are in
    `outputs` already are left as they are. The study's folder comes last: where this is ended
    half-way, there is none.

    Raises:
        ValueError: the folder exists, there is no account, W&B does not know such a study, or what
            it has of it cannot be read.
    """
    folder = outputs / study
    if not _is_plain(study):
        raise ValueError(f"{study}: must be a study's name, not a path")
    if folder.exists():
        raise ValueError(f"{folder} exists: nothing is written over; --outputs names another place")
    require_account()
    outputs.mkdir(parents=True, exist_ok=True)
    with _draft(outputs) as draft, signed_in(draft / "wandb") as api:
        _fetch_study(api, study, source, draft, console)
        results = load(draft / STUDY_FILES)
        keys = list(dict.fromkeys(row.key for row in results.rows))
        absent = _fetch_runs(api, source, keys, draft / "runs", console)
        _settle(draft, outputs)
        (draft / STUDY_FILES).rename(folder)
    found = len(keys) - len(absent)
    console.print(f"{folder}: {found} of {len(keys)} runs", markup=False, highlight=False)
    return folder


@contextmanager
def _draft(outputs: Path) -> Iterator[Path]:
    """Yield a folder beside the studies, which is gone in the end."""
    with TemporaryDirectory(dir=outputs, prefix=".pull-", ignore_cleanup_errors=True) as name:
        yield Path(name)


def _fetch_study(api: Any, study: str, source: str, draft: Path, console: Console) -> None:
    """Fetch what the study's newest summary run keeps."""
    wanted = {"group": study, "jobType": JOB_TYPE}
    runs = list(api.runs(source, filters=wanted, order="-created_at"))
    if not runs:
        raise ValueError(
            f"{source}: has no summary of a study {study};"
            f" `python -m analysis wandb {study} --sync` sends it from where the study is"
        )
    if len(runs) > 1:
        console.print(f"{source}: has {len(runs)} studies {study}; the newest is taken")
    for file in runs[0].files():
        top, _, name = file.name.partition("/")
        of_study = top == STUDY_FILES and name in STUDY_KEPT
        if of_study or (top == PROFILES and _is_plain(name)) or file.name == FURTHER:
            file.download(root=str(draft), replace=True)


def _fetch_runs(
    api: Any, source: str, keys: Sequence[str], folder: Path, console: Console
) -> list[str]:
    """Fetch the runs' files into folders by their keys; return the keys that W&B has not."""
    wrong = [key for key in keys if not _is_plain(key)]
    if wrong:
        raise ValueError(f"{wrong[0]!r} is no key of a run")
    with Progress(console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("fetching", total=len(keys))

        def fetch(key: str) -> bool:
            there = _fetch_run(api, f"{source}/{key}", folder / key)
            progress.advance(bar)
            return there

        with ThreadPoolExecutor(AT_ONCE) as pool:
            found = list(pool.map(fetch, keys))
    return [key for key, there in zip(keys, found, strict=True) if not there]


def _fetch_run(api: Any, path: str, folder: Path) -> bool:
    """Fetch one run's files; say whether W&B has the run."""
    from wandb.errors import CommError

    try:
        files = list(api.run(path).files(names=list(WANTED)))
    except CommError as error:
        if isinstance(error.exc, ValueError):  # there is no such run
            return False
        raise
    for file in files:
        if file.name in WANTED:
            file.download(root=str(folder), replace=True)
    return True


def _is_plain(name: str) -> bool:
    """Say whether it is the name of a file, and of none that is hidden."""
    return bool(name) and Path(name).name == name and not name.startswith(".")


def _settle(draft: Path, outputs: Path) -> None:
    """Put runs, profiles and measurements where they belong, beside what is there."""
    measured = list(_measurements(draft))
    for path in sorted(draft.glob(f"runs/*/{FILES}")):
        (path / LATENCY).unlink(missing_ok=True)
        _move(path, outputs / "runs" / path.parent.name)
    for path in sorted((draft / PROFILES).glob("*.json")):
        _move(path, outputs / PROFILES / path.name)
    _add(measured, outputs)


def _measurements(draft: Path) -> Iterator[Measurement]:
    """Yield what was measured on the first device, then what on further ones.

    Raises:
        ValueError: a record is not one of a measurement.
    """
    for path in sorted(draft.glob(f"runs/*/{FILES}/{LATENCY}")):
        yield from_record(read_object(path))
    if (draft / FURTHER).is_file():
        for line in (draft / FURTHER).read_text(encoding="utf-8").splitlines():
            yield from_record(json.loads(line))


def _move(path: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    if not place.exists():
        path.rename(place)


def _add(measured: Sequence[Measurement], outputs: Path) -> None:
    if not measured:
        return
    from repghost.latency.store import Store

    store = Store(f"sqlite:///{(outputs / 'latency.db').resolve()}")
    for one in measured:
        store.add(one)
