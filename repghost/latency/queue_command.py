"""`python -m repghost.latency status | retry | forget`: what the workers do, and what waits."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text
from sqlalchemy import func, select

from repghost.latency.queue.database import Database
from repghost.latency.queue.requests import FAILED, Requests, Standing
from repghost.latency.queue.tables import FlagRow, MeasurementRow
from repghost.latency.queue.workers import GONE, Seen, Workers
from repghost.latency.spec import StorageSpec
from repghost.latency.spread import Spread
from repghost.latency.store import DONE, spread_on
from repghost.words import counted

SHOWN = 20  # measurements that wait or have failed
SQLITE = "sqlite:///"


def status_command(url: str, *, as_json: bool, console: Console) -> None:
    """Print devices and workers, what waits, what failed and why, and the devices' flags.

    Raises:
        ValueError: there is no such database, or it cannot be read.
    """
    database = opened(url)
    workers, waiting = Workers(database).seen(), Requests(database).waiting()
    done, flags = _done(database), _flags(database)
    spreads = _spreads(database, done)
    if as_json:
        print(json.dumps(_as_dict(workers, waiting, done, flags, spreads)))
        return
    _show_workers(workers, console)
    _show_counts(waiting, done, console)
    _show_waiting([one for one in waiting if one.state != FAILED], "waiting", console)
    _show_waiting([one for one in waiting if one.state == FAILED], "failed", console)
    for device, text in flags:
        console.print(Text(f"flag on {device}: {text}", style="yellow"), soft_wrap=True)
    for device, spread in spreads.items():
        console.print(f"{device}: {spread}", markup=False, soft_wrap=True)


def retry_command(url: str, device: str | None, console: Console) -> None:
    """Put what failed back in the queue, of one device or of all.

    Raises:
        ValueError: no device of that name is known.
    """
    database = opened(url)
    if device:
        Workers(database).require(device)
    count = Requests(database).retry(device)
    where = f" on {device}" if device else ""
    words = "measurement" if count == 1 else "measurements"
    console.print(f"{count} failed {words}{where} {'waits' if count == 1 else 'wait'} again")


def forget_command(url: str, device: str, console: Console) -> None:
    """Remove all that is known of a device, so that everything is measured there anew.

    Raises:
        ValueError: a worker serves it, or nothing is known of it.
    """
    count = Workers(opened(url)).forget(device)
    console.print(f"forgot {device} and {counted(count, 'measurement')} made there")


def opened(url: str) -> Database:
    """Return the database; one of SQLite is not made by looking at it.

    Raises:
        ValueError: the url holds a password, or there is no such file.
    """
    StorageSpec(url)
    path = Path(url.removeprefix(SQLITE))
    if url.startswith(SQLITE) and not path.exists():
        raise ValueError(
            f"storage.url={url}: there is no such file; nothing was measured there yet, or name"
            " another with storage.url=..."
        )
    return Database(url)


def _done(database: Database) -> dict[str, int]:
    with database.reading() as session:
        count = select(MeasurementRow.device, func.count()).where(MeasurementRow.state == DONE)
        rows = session.execute(count.group_by(MeasurementRow.device))
        return dict(rows.tuples().all())


def _flags(database: Database) -> list[tuple[str, str]]:
    with database.reading() as session:
        rows = session.scalars(select(FlagRow).order_by(FlagRow.id))
        return [(row.device, row.text) for row in rows]


def _spreads(database: Database, devices: Iterable[str]) -> dict[str, Spread]:
    with database.reading() as session:
        found = {device: spread_on(device, session) for device in devices}
    return {device: spread for device, spread in found.items() if spread}


def _as_dict(
    workers: Sequence[Seen],
    waiting: Sequence[Standing],
    done: dict[str, int],
    flags: Sequence[tuple[str, str]],
    spreads: dict[str, Spread],
) -> dict[str, Any]:
    return {
        "workers": [asdict(one) | {"alive": one.alive} for one in workers],
        "waiting": [asdict(one) for one in waiting],
        "done": done,
        "flags": [{"device": device, "text": text} for device, text in flags],
        "spreads": {device: asdict(spread) for device, spread in spreads.items()},
    }


def _show_workers(workers: Sequence[Seen], console: Console) -> None:
    if not workers:
        console.print("no worker has announced itself; `latency-worker --help` says how to start")
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("device", "what", "worker", "heard of", "state"):
        table.add_column(name, overflow="fold")
    for one in workers:
        state = one.state if one.alive or one.state == GONE else "silent"
        said = f"{state}: {one.doing}" if one.doing else state
        style = "green" if one.alive else "dim"
        what = one.profile or f"{one.kind}, not seen yet"
        place = f"{one.unit} ({one.host}, process {one.pid})" if one.unit != one.host else one.host
        cells = (one.name, what, place, _ago(one.silent_s), said)
        table.add_row(*map(Text, cells), style=style)
    console.print(table)


def _show_counts(waiting: Sequence[Standing], done: dict[str, int], console: Console) -> None:
    states = Counter((one.device_name, one.state) for one in waiting)
    for name in dict.fromkeys(one.device_name for one in waiting):
        counts = [f"{count} {state}" for (device, state), count in states.items() if device == name]
        console.print(Text(f"{name}: {', '.join(counts)}"))
    for device, count in done.items():
        console.print(Text(f"{device}: {count} done"))


def _show_waiting(rows: Sequence[Standing], title: str, console: Console) -> None:
    if not rows:
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in (title, "device", "state", "why"):
        table.add_column(name, overflow="fold")
    for one in rows[:SHOWN]:
        by = f"claimed by {one.claimed_by}" if one.claimed_by else one.state
        tries = f" ({one.attempts} tries, {one.losses} lost)" if one.attempts or one.losses else ""
        table.add_row(*map(Text, (one.label, one.device_name, by + tries, one.why)))
    console.print(table)
    if len(rows) > SHOWN:
        console.print(f"and {len(rows) - SHOWN} more {title}; --json lists all")


def _ago(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s ago"
    return f"{seconds / 60:.0f} min ago" if seconds < 7200 else f"{seconds / 3600:.0f} h ago"
