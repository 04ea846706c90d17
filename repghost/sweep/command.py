"""The command `launch.py -m`: from a grid or a search to a table, continued where one stopped."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from repghost.atomic import read_json, write_json
from repghost.lock import Held, Lock
from repghost.provenance import commit, versions
from repghost.settings import Settings
from repghost.sweep.driver import Driver, Launcher, More
from repghost.sweep.jobs.launchers import SlurmSpec
from repghost.sweep.plan.twins import say_twins
from repghost.sweep.space.compose import Composer
from repghost.sweep.space.points import Point, SamplerSpec, Space, Value
from repghost.sweep.ticket import Ticket

FEWEST_AHEAD = 4  # suggestions of a search that may be at work at a time; a tenth of many


def sweep(
    points: Sequence[Point],
    study: str,
    command: str,
    console: Console,
    *,
    launcher: Launcher,
) -> int:
    """Run what is missing of `points` and print the study's table; return the exit code.

    Raises:
        ValueError: another process drives the study, or a file or database cannot be used.
    """
    with opened(points[0].settings, study, command, console, launcher) as driver:
        tickets = driver.enroll(points)
        say_twins(points, console)
        return _driven(driver, tickets)


def search(
    space: Space,
    composer: Composer,
    sampler: SamplerSpec,
    study: str,
    command: str,
    console: Console,
    *,
    launcher: Launcher,
) -> int:
    """Run variants that Optuna suggests until the study has `n_trials`; return the exit code.

    Raises:
        ValueError: as `sweep`.
    """
    base = space.first(composer).settings
    with opened(base, study, command, console, launcher) as driver:
        return _search(driver, space, composer, sampler)


def _driven(driver: Driver, tickets: Sequence[Ticket], more: More | None = None) -> int:
    """Bring the sweep to its end, and then, if asked, the runs that decide most about the front."""
    if not driver.base.sweep.refine:
        return driver.drive(tickets, more)
    refine = driver.refine

    def then_refine(room: int) -> Iterable[Ticket]:
        return (more(room) if more else []) or refine.more(room)

    code = driver.drive([*tickets, *refine.resume()], then_refine)
    if refine.own_ended():
        driver.say(refine.verdict())
    else:
        asked = f"sweep.refine={driver.base.sweep.refine}"
        driver.say(f"{asked}: chosen by this command, given again when its own runs have ended")
    return code


def _search(driver: Driver, space: Space, composer: Composer, sampler: SamplerSpec) -> int:
    """Go on with the study's variants, and with what Optuna suggests after them."""
    from repghost.sweep.space.search import Search

    assert driver.base.n_trials is not None
    refused: list[str] = []

    def point(values: Mapping[str, Value]) -> Point | None:
        try:
            return space.point(values, composer)
        except ValueError as error:  # a combination that its network does not allow
            refused.append(str(error))
            return None

    # A sampler learns nothing from what has not ended: all at once would be a random search.
    most = max(FEWEST_AHEAD, driver.base.n_trials // 10)
    n_trials, max_ms = driver.base.n_trials, driver.base.latency.max_ms
    suggested = Search(space.dimensions, point, sampler, n_trials=n_trials, max_ms=max_ms)

    def more(room: int) -> list[Ticket]:
        refined = driver.refine.rows  # are none of `n_trials`
        tickets = [ticket for ticket in driver.ledger.tickets() if ticket.row not in refined]
        ahead = most - sum(not ticket.life.ended for ticket in tickets)
        return driver.enroll(suggested.more(max(0, min(room, ahead)), tickets))

    known = [Point(ticket.swept, ticket.settings) for ticket in driver.ledger.tickets()]
    tickets = driver.enroll(known)
    code = _driven(driver, tickets, more)
    if refused:
        driver.say(f"{len(refused)} combinations are not allowed, such as: {refused[0]}")
    if suggested.ended:
        driver.say(suggested.ended)
    return code


@contextmanager
def opened(
    base: Settings, study: str, command: str, console: Console, launcher: Launcher
) -> Iterator[Driver]:
    """Hold a study as its only driver."""
    base = replace(base, study=study)
    folder = Path(base.outputs) / study
    lock = Lock(folder / "driver.lock")
    try:
        lock.acquire()
    except Held as held:
        raise ValueError(
            f"study {study} is being driven by {held}; wait for it, or end it and all its jobs"
            f" with `python -m repghost.sweep stop {study}`"
        ) from None
    try:
        _note_provenance(folder, base, command, launcher)
        yield Driver(base, folder, lock, command, console, launcher)
    finally:
        lock.release()


def _note_provenance(folder: Path, base: Settings, command: str, launcher: Launcher) -> None:
    """Note in `study.json` what ran, and what `status` and `stop` need to find it."""
    known = read_json(folder / "study.json") or {}
    kind = "slurm" if isinstance(launcher, SlurmSpec) else "local"
    now: dict[str, Any] = {
        "study": base.study,
        "command": command,
        "commit": commit(),
        "versions": versions(),
        "launcher": {"kind": kind, **asdict(launcher)},
        "storage": base.storage.url,
        "latency": asdict(base.latency),
        "parallel": base.parallel,
        "stop": asdict(base.stop),
        "tracking": asdict(base.tracking),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
    write_json(folder / "study.json", known | now)
