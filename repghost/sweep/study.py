"""The ledger of a sweep: an Optuna study in an append-only journal that survives kill -9."""

import os
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._file import BaseJournalFileLock
from optuna.trial import FrozenTrial, TrialState, create_trial

from repghost.lock import Lock
from repghost.settings import Settings
from repghost.sweep.space import LATENCY, Point, Value
from repghost.variant import Variant

STATES = {
    TrialState.COMPLETE: "finished",
    TrialState.FAIL: "failed",
    TrialState.PRUNED: "pruned",
    TrialState.WAITING: "waiting",
    TrialState.RUNNING: "running",
}


@dataclass(frozen=True)
class Outcome:
    """How a variant ended: finished with scores, measured alone, pruned for latency, or failed."""

    state: str
    top1: float | None = None
    latency_ms: float | None = None
    reason: str = ""


@dataclass(frozen=True, eq=False)
class Ticket:
    """One trial of the study and the variant that it stands for."""

    number: int
    trial_id: int
    row: str  # see `Point.row`
    key: str  # of the run
    swept: dict[str, Value]
    settings: Settings
    state: str
    values: tuple[float, ...] = ()
    reason: str = ""


class Ledger:
    """What was asked and what came of it; top-1 is maximised and latency minimised.

    The caller holds the study's driver lock: every trial left RUNNING is his to go on with.
    """

    def __init__(self, folder: Path, name: str, base: Settings) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        folder.mkdir(parents=True, exist_ok=True)
        journal = folder / "study.journal"
        _mend(journal)
        backend = JournalFileBackend(str(journal), lock_obj=_JournalLock(journal))
        try:
            self._study = optuna.create_study(
                study_name=name,
                storage=JournalStorage(backend),
                directions=["maximize", "minimize"],
                load_if_exists=True,
            )
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{journal}: cannot be read ({error}); move it away to start the study anew"
                " (finished runs are kept and not repeated)"
            ) from error
        if any("row" not in trial.user_attrs for trial in self._study.get_trials(deepcopy=False)):
            raise ValueError(f"{journal}: is of an older version; move it away to start it anew")
        self._base = base
        self._settings: dict[str, Settings] = {}

    def enroll(self, points: Iterable[Point], is_done: Callable[[Ticket], bool]) -> None:
        """Enqueue every point that is neither done, nor waiting, nor running; failed ones again."""
        latest = {ticket.row: ticket for ticket in self.tickets()}
        for point in points:
            if point.row in self._settings:
                continue  # two combinations that are one variant
            self._settings[point.row] = point.settings
            ticket = latest.get(point.row)
            if ticket is not None:
                ticket = replace(ticket, settings=point.settings)
            if ticket is None or (_closed(ticket) and not is_done(ticket)):
                self._study.add_trial(_waiting(point))

    def tickets(self) -> list[Ticket]:
        """Return the latest trial of every variant of the study, in the order they were asked."""
        trials = self._study.get_trials(deepcopy=False)
        latest = {trial.user_attrs["row"]: trial for trial in trials}
        return [self._ticket(trial) for trial in latest.values()]

    def asked(self) -> list[Ticket]:
        """Return the tickets of the points that were enrolled in this process."""
        return [ticket for ticket in self.tickets() if ticket.row in self._settings]

    def start(self) -> None:
        """Ask Optuna for everything that waits: from now on it counts as running."""
        waiting = self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        for _ in waiting:
            self._study.ask()

    def tell(self, ticket: Ticket, outcome: Outcome) -> None:
        """Record how a variant ended."""
        optuna.Trial(self._study, ticket.trial_id).set_user_attr("outcome", asdict(outcome))
        if outcome.state == "finished":
            self._study.tell(ticket.number, [outcome.top1 or 0.0, outcome.latency_ms or 0.0])
        else:
            failed = outcome.state == "failed"
            self._study.tell(ticket.number, state=TrialState.FAIL if failed else TrialState.PRUNED)

    def _ticket(self, trial: FrozenTrial) -> Ticket:
        attrs = trial.user_attrs
        settings = self._settings.get(attrs["row"]) or _rebuilt(self._base, attrs)
        values = tuple(trial.values or ())
        outcome = attrs.get("outcome", {})
        state = STATES[trial.state]
        if state == "pruned":  # Optuna has no word for a variant that is measured alone
            state = outcome.get("state", state)
        return Ticket(
            trial.number,
            trial._trial_id,
            attrs["row"],
            attrs["key"],
            attrs["swept"],
            settings,
            state,
            values,
            outcome.get("reason", ""),
        )


class _JournalLock(BaseJournalFileLock):
    """A lock that a killed process does not leave behind; after one, Optuna's own waits 30 s."""

    def __init__(self, journal: Path) -> None:
        self._lock = Lock(journal.with_suffix(".lock"))

    def acquire(self) -> bool:
        self._lock.acquire(wait=True)
        return True

    def release(self) -> None:
        self._lock.release()


def _mend(journal: Path) -> None:
    """Cut off a last line that a kill tore; Optuna would append to it and never read on."""
    if not journal.exists():
        return
    with journal.open("rb+") as file:
        content = file.read()
        whole = content.rfind(b"\n") + 1
        if whole != len(content):
            file.truncate(whole)
            os.fsync(file.fileno())


def _closed(ticket: Ticket) -> bool:
    return ticket.state not in ("waiting", "running")


def _waiting(point: Point) -> FrozenTrial:
    """A trial as a template: a category that is new to the study is allowed here, in `ask` not."""
    distributions: dict[str, Any] = {
        name: CategoricalDistribution([value]) for name, value in point.swept.items()
    }
    variant = point.settings.variant
    notes = {"row": point.row, "key": variant.key, "swept": point.swept, "config": variant.config()}
    return create_trial(
        state=TrialState.WAITING,
        params=dict(point.swept),
        distributions=distributions,
        user_attrs=notes,
    )


def _rebuilt(base: Settings, notes: dict[str, Any]) -> Settings:
    """Settings of a variant that this command did not ask for, from what the study noted."""
    variant, swept = Variant.from_config(notes["config"]), notes["swept"].items()
    timed = {key.removeprefix(LATENCY): value for key, value in swept if key.startswith(LATENCY)}
    return replace(
        base,
        model=variant.model,
        data=variant.data,
        recipe=variant.recipe,
        seed=variant.seed,
        latency=replace(base.latency, **timed),
    )
