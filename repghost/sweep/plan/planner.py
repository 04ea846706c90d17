"""What a sweep would do, found out from files: states, costs, latencies, hours to go."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import track

from repghost.latency.record import Measurement
from repghost.run import Run
from repghost.settings import Settings
from repghost.sweep.extra import ways_to_time
from repghost.sweep.plan.network_costs import CostFile, Image, NetworkCost, cost_of_run
from repghost.sweep.plan.pace import (
    Pace,
    Timed,
    alike,
    fitted,
    other_runs,
    stated,
    timed,
    training_images,
)
from repghost.sweep.space.points import Point
from repghost.sweep.ticket import AT_WORK, ENDS, WAITING, Life
from repghost.trial import ends_as

if TYPE_CHECKING:
    from repghost.sweep.study import Ledger
    from repghost.timing import Timings

OWN_ENOUGH = 3  # timed trainings of the sweep itself; with fewer, those of others count too
SILENT = 3  # so many networks are counted without a word


@dataclass(frozen=True)
class Planned:
    """A variant as it stands: what its files, those of its twins, and the study know of it.

    `epoch` are the finished epochs of a training that is not at its end. `graph` is equal for
    variants that deploy to one graph. `end` is how its latency, where known, ends it without a
    training: pruned or measured. `to_go_s` are the seconds of training that are left, 0 for none,
    None where that cannot be said.
    """

    point: Point
    state: str
    epoch: int
    cost: NetworkCost | None
    graph: Hashable
    latency_ms: float | None
    end: str | None
    to_go_s: float | None = None

    @property
    def ended(self) -> bool:
        """Whether the sweep would leave it as it is."""
        return self.state in ENDS


class Planner:
    """Reads what there is to know of the points of one sweep; `notes` says what it came across.

    `ledger` is the study's, None where it was never started.
    """

    def __init__(self, points: Sequence[Point], study: str, console: Console) -> None:
        base = points[0].settings
        self.notes: list[str] = []
        self._console, self._outputs = console, base.outputs
        self._points = list({point.row: point for point in points}.values())
        self._runs = {point.row: Run(base.outputs, point.key) for point in self._points}
        self._graphs = {point.row: _graph(point.settings) for point in self._points}
        self.ledger = _ledger(replace(base, study=study), Path(base.outputs) / study)
        tickets = self.ledger.tickets() if self.ledger else []
        self._lives = {ticket.row: ticket.life for ticket in tickets}
        self._longer = self.ledger.longer if self.ledger else {}
        self._costs = CostFile(base.outputs)
        self._built: dict[Hashable, Run] = {}  # by graph: a run that has deployed it
        for point in self._points:
            run = self._runs[point.row]
            if run.deployed(point.settings.timed_shape):
                self._built.setdefault(self._graphs[point.row], run)

    def count_costs(self) -> None:
        """Build the networks whose cost nobody knows yet; else no torch is imported."""
        wanted = {
            (p.settings.network.deploys_as, _image(p)): (p.settings.network, _image(p))
            for p in self._points
            if self._cost(p) is None
        }
        if not wanted:
            return
        if len(wanted) > SILENT:
            self._console.print(f"counting {len(wanted)} networks for the first time")
        silent = not self._console.is_terminal
        networks = track(
            list(wanted.values()), "", console=self._console, transient=True, disable=silent
        )
        try:
            refused = self._costs.count(networks)
        except OSError as error:
            self.notes.append(f"costs are not kept: {error}")
        else:
            self.notes += [f"{spec.describe()}: {why}" for spec, why in refused.items()]

    def rows(self, images_per_s: str | None) -> tuple[list[Planned], list[Pace]]:
        """Return a row for each variant, and the paces by which its times were estimated."""
        latencies = self._latencies()
        rows = [self._row(point, latencies[point.row]) for point in self._points]
        groups: dict[Hashable, list[Planned]] = {}
        for row in rows:
            groups.setdefault(_alike(row.point), []).append(row)
        paces = {
            key: self._pace(group, images_per_s)
            for key, group in groups.items()
            if any(self._is_to_train(row) for row in group)
        }
        known = [pace for pace in paces.values() if pace]
        return [
            replace(row, to_go_s=self._to_go_s(row, paces.get(_alike(row.point)))) for row in rows
        ], known

    def _row(self, point: Point, found: Measurement | None) -> Planned:
        latency_ms, ratio = (found.latency_ms, found.latency_ratio) if found else (None, None)
        end = None if latency_ms is None else ends_as(point.settings, latency_ms, ratio)
        state = self._state(point, latency_ms, end)
        epoch = 0 if state in ENDS else len(self._runs[point.row].history())
        graph = self._graphs[point.row]
        if run := self._built.get(graph):  # networks of two families may deploy to one graph
            graph = (run.deployed(point.settings.timed_shape) or {}).get("fingerprint")
        return Planned(point, state, epoch, self._cost(point), graph, latency_ms, end)

    def _state(self, point: Point, latency_ms: float | None, end: str | None) -> str:
        """Judge by the files as the driver does; what they leave open, by the study's last note."""
        settings, run = point.settings, self._runs[point.row]
        measured = latency_ms is not None and run.deployed(settings.timed_shape)
        if measured and (end or run.result()):
            return end or "finished"
        life = self._lives.get(point.row, Life())
        if life.state in AT_WORK or (life.state == "stopped" and not settings.stop.resume):
            return life.state
        broken = run.error() is not None or (life.state == "failed" and not life.lost)
        if broken and settings.retry != "failed":
            return "failed"
        return "running" if run.lock.is_held() else WAITING

    def _latencies(self) -> dict[str, Measurement | None]:
        """Return latencies by row; a variant that is not built yet has that of its graph."""
        if not self._built:
            return dict.fromkeys(self._runs)
        from repghost.latency.store import Store
        from repghost.timing import Timings

        timings = Timings(Store(self._points[0].settings.storage.url))
        found: dict[Hashable, Measurement | None] = {}
        by_row: dict[str, Measurement | None] = {}
        for point in self._points:
            graph = self._graphs[point.row]
            how = graph, repr(point.settings.latency)
            if how not in found and graph in self._built:
                found[how] = self._latency(timings, point.settings, self._built[graph])
            by_row[point.row] = found.get(how)
        return by_row

    def _latency(self, timings: "Timings", settings: Settings, run: Run) -> Measurement | None:
        """Return a latency; the study's longer measurement of the graph where it was made."""
        ways = ways_to_time(settings, run, self._longer)
        return next(filter(None, (timings.latency(way, run) for way in ways)), None)

    def _cost(self, point: Point) -> NetworkCost | None:
        run = self._built.get(self._graphs[point.row])
        found = cost_of_run(run, _image(point)) if run else None
        return found or self._costs.get(point.settings.network, _image(point))

    def _pace(self, group: Sequence[Planned], images_per_s: str | None) -> Pace | None:
        """Return how fast epochs are of trainings that differ in their network alone."""
        settings = group[0].point.settings
        if images_per_s is None:
            return fitted(self._timed(group), settings)
        images = training_images(settings.data)
        if images is None:
            self.notes.append(f"data.name={settings.data.name}: its number of images is not known")
        return stated(images_per_s, images) if images else None

    def _timed(self, group: Sequence[Planned]) -> list[Timed]:
        """Return the timed trainings of a group, and of other sweeps where these are few."""
        own = ((self._runs[row.point.row], row.cost) for row in group)
        found = [one for run, cost in own if cost and (one := timed(run, cost.macs))]
        if len(found) >= OWN_ENOUGH:
            return found
        key, image = _alike(group[0].point), _image(group[0].point)
        keys = {point.key for point in self._points}
        for run, variant in other_runs(self._outputs, keys, lambda other: other == key):
            cost = cost_of_run(run, image) or self._costs.get(variant.model, image)
            if cost and (one := timed(run, cost.macs)):
                found.append(one)
        return found

    def _is_to_train(self, row: Planned) -> bool:
        ends = row.ended or row.end or not row.point.settings.recipe.trains
        return not (ends or self._runs[row.point.row].result())

    def _to_go_s(self, row: Planned, pace: Pace | None) -> float | None:
        if not self._is_to_train(row):
            return 0.0
        if pace is None or row.cost is None:
            return None
        left = max(0, row.point.settings.recipe.epochs - row.epoch)
        return left * pace.epoch_s(row.cost.macs)


def _ledger(base: Settings, folder: Path) -> "Ledger | None":
    if not (folder / "study.json").exists():
        return None
    from repghost.sweep.study import Ledger

    assert base.study is not None
    return Ledger.read(folder, base.study, base)


def _graph(settings: Settings) -> Hashable:
    return settings.network.deploys_as, settings.timed_shape


def _image(point: Point) -> Image:
    return point.settings.timed_shape[1:]


def _alike(point: Point) -> Hashable:
    return alike(point.settings.data, point.settings.recipe)
