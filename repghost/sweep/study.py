"""The ledger of a sweep: an Optuna study in an append-only journal that survives kill -9."""

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution
from optuna.storages import BaseStorage, JournalStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from repghost.settings import Settings
from repghost.sweep.extra import Extra, Longer, noted
from repghost.sweep.journal import Journal, mend
from repghost.sweep.space.points import LATENCY, Point, Value
from repghost.sweep.ticket import Life, Outcome, Ticket
from repghost.variant import Variant

JOURNAL = "study.journal"
ENDED = {  # how Optuna calls our ends
    "finished": TrialState.COMPLETE,
    "failed": TrialState.FAIL,
    "cancelled": TrialState.FAIL,
}
LIFE = "life"  # attributes of a trial, life0, life1, ...: its states in their order
FIRST_LIFE = f"{LIFE}0"
COMMON = (
    "config"  # attribute of the study: the config of its first variant; others note what differs
)
REFINED = "refined"  # attribute of the study: its runs beyond the sweep's own, in their order
Config = dict[str, Any]


class Ledger:
    """What was asked and what came of it; the score is maximised and latency minimised.

    The caller holds the study's driver lock; who only reads opens it with `read`. `longer` is the
    latest longer measurement of each graph, by its fingerprint; it follows what is noted.
    """

    def __init__(
        self, folder: Path, name: str, base: Settings, clock: Callable[[], float] = time.time
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        journal = folder / JOURNAL
        mend(journal)
        self._open(journal, name, base, clock, create=True)
        for ticket in self._tickets.values():
            self._close(ticket)

    @classmethod
    def read(cls, folder: Path, name: str, base: Settings) -> "Ledger":
        """Open the ledger of a study that perhaps another process drives; do not write to it.

        Raises:
            ValueError: there is no such study, or it cannot be read.
        """
        if not (folder / JOURNAL).exists():
            raise ValueError(f"{folder}: has no {JOURNAL}; no study of this name was started there")
        ledger = cls.__new__(cls)
        ledger._open(folder / JOURNAL, name, base, time.time, create=False)
        return ledger

    def _open(
        self, journal: Path, name: str, base: Settings, clock: Callable[[], float], create: bool
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._base, self._clock = base, clock
        try:
            self._journal = Journal(journal)
            self._storage: BaseStorage = JournalStorage(self._journal)
            if create:
                optuna.create_study(
                    study_name=name,
                    storage=self._storage,
                    directions=["maximize", "minimize"],
                    load_if_exists=True,
                )
            self._study_id = self._storage.get_study_id_from_name(name)
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{journal}: cannot be read ({error}); move it away to start the study anew"
                " (finished runs are kept and not repeated)"
            ) from error
        trials = self._storage.get_all_trials(self._study_id, deepcopy=False)
        if any(not {"row", FIRST_LIFE} <= trial.user_attrs.keys() for trial in trials):
            raise ValueError(f"{journal}: is of an older version; move it away to start it anew")
        notes = self._storage.get_study_user_attrs(self._study_id)
        self._common: Config = notes.get(COMMON, {})
        self._extras: list[Extra] = []
        self.longer: dict[str, Longer] = {}
        for note in notes.get(REFINED, []):
            self._keep(noted(note))
        latest = {trial.user_attrs["row"]: trial for trial in trials}
        self._tickets = {row: self._ticket(trial) for row, trial in latest.items()}
        self._asked: dict[str, Ticket] = {}
        self._open_trials = {trial.number for trial in trials if not trial.state.is_finished()}

    def enroll(
        self, points: Iterable[Point], is_wanted: Callable[[Ticket], bool] = lambda ticket: False
    ) -> list[Ticket]:
        """Add every point that is new, and again one that has ended and `is_wanted`.

        Returns the tickets of all the points, in their order, each once.
        """
        tickets = []
        with self.together():
            for point in points:
                if point.row in self._asked:
                    continue  # two combinations that are one variant
                ticket = self._tickets.get(point.row)
                if ticket is not None:
                    ticket.settle(point.settings)
                if ticket is None or (ticket.life.ended and is_wanted(ticket)):
                    ticket = self._add(point)
                self._tickets[point.row] = self._asked[point.row] = ticket
                tickets.append(ticket)
        return tickets

    def again(self, tickets: Iterable[Ticket]) -> list[Ticket]:
        """Begin a new trial of each of these variants, in place of the ones that have ended."""
        with self.together():
            new = [self._add(Point(ticket.swept, ticket.settings)) for ticket in tickets]
        for ticket in new:
            self._tickets[ticket.row] = self._asked[ticket.row] = ticket
        return new

    @property
    def extras(self) -> list[Extra]:
        """The study's runs beyond the sweep's own, in the order in which they were chosen."""
        return list(self._extras)

    def note_extra(self, extra: Extra) -> None:
        """Note a run that was chosen, before it is begun.

        Raises:
            OSError: it could not be written; it is not noted.
        """
        notes = [one.note() for one in (*self._extras, extra)]
        self._storage.set_study_user_attr(self._study_id, REFINED, notes)
        self._keep(extra)

    def _keep(self, extra: Extra) -> None:
        self._extras.append(extra)
        if isinstance(extra, Longer):
            self.longer[extra.graph] = extra

    def _add(self, point: Point) -> Ticket:
        variant, life = point.settings.variant, Life(since=self._now())
        if not self._common:
            self._common = variant.config()
            self._storage.set_study_user_attr(self._study_id, COMMON, self._common)
        config = {name: {} for name in self._common} | variant.config()
        own = {n: group for n, group in config.items() if group != self._common.get(n)}
        notes = {"key": variant.key, "config": own, FIRST_LIFE: life.note()}
        trial = _waiting(point, notes | {"repeat": point.settings.latency.repeat})
        trial_id = self._storage.create_new_trial(self._study_id, trial)
        number = self._storage.get_trial_number_from_id(trial_id)
        self._open_trials.add(number)
        ticket = Ticket(number, trial_id, point.row, variant.key, point.swept, [life])
        ticket.settle(point.settings)
        return ticket

    def together(self) -> AbstractContextManager[None]:
        """Flush what is written within this once, at its end."""
        return self._journal.together()

    def tickets(self) -> list[Ticket]:
        """Return the latest trial of every variant of the study, in the order they were asked."""
        return list(self._tickets.values())

    def find(self, row: str) -> Ticket | None:
        """Return the latest trial of a variant, None where it was never asked for."""
        return self._tickets.get(row)

    def asked(self) -> list[Ticket]:
        """Return the tickets of the points that were enrolled in this process."""
        return list(self._asked.values())

    def move(self, ticket: Ticket, state: str, **notes: Any) -> None:
        """Record that a variant is in another state now; what `notes` do not say stays.

        Raises:
            OSError: it could not be written; the ledger and the ticket are as they were.
        """
        carried: dict[str, Any] = {"requeues": ticket.life.requeues, "job": ticket.life.job}
        life = Life(state, self._now(), **carried | notes)
        name = f"{LIFE}{len(ticket.lives)}"
        self._storage.set_trial_user_attr(ticket.trial_id, name, life.note())
        ticket.lives.append(life)
        self._close(ticket)

    def tell(self, ticket: Ticket, outcome: Outcome) -> None:
        """Record how a variant ended."""
        self.move(
            ticket,
            outcome.state,
            cause=outcome.reason,
            score=outcome.score,
            latency_ms=outcome.latency_ms,
            lost=outcome.lost,
            ratio=outcome.ratio,
        )

    def _close(self, ticket: Ticket) -> None:
        """Tell Optuna of an end that stands in a variant's life."""
        life = ticket.life
        if not life.ended or ticket.number not in self._open_trials:
            return
        state = ENDED.get(life.state, TrialState.PRUNED)
        scores = [life.score or 0.0, life.latency_ms or 0.0] if life.state == "finished" else None
        self._storage.set_trial_state_values(ticket.trial_id, state, scores)
        self._open_trials.discard(ticket.number)

    def _now(self) -> float:
        return round(self._clock(), 1)

    def _ticket(self, trial: FrozenTrial) -> Ticket:
        attrs = trial.user_attrs
        count = sum(name.startswith(LIFE) for name in attrs)
        lives = [Life.noted(attrs[f"{LIFE}{number}"]) for number in range(count)]
        row, key, swept = attrs["row"], attrs["key"], attrs["swept"]
        ticket = Ticket(trial.number, trial._trial_id, row, key, swept, lives)
        timed = {f"{LATENCY}repeat": attrs["repeat"]} if "repeat" in attrs else {}
        config = self._common | attrs["config"]
        ticket.settle(lambda: _rebuilt(self._base, config, timed | swept))
        return ticket


def _waiting(point: Point, notes: dict[str, Any]) -> FrozenTrial:
    """A trial as a template: a category that is new to the study is allowed here, in `ask` not."""
    distributions: dict[str, Any] = {
        name: CategoricalDistribution([value]) for name, value in point.swept.items()
    }
    return create_trial(
        state=TrialState.WAITING,
        params=dict(point.swept),
        distributions=distributions,
        user_attrs={"row": point.row, "swept": point.swept} | notes,
    )


def _rebuilt(base: Settings, config: Config, swept: Mapping[str, Value]) -> Settings:
    """Settings of a variant that this command did not ask for, from what the study noted."""
    variant = Variant.from_config(config)
    timed: dict[str, Any] = {
        key.removeprefix(LATENCY): value for key, value in swept.items() if key.startswith(LATENCY)
    }
    return replace(
        base,
        model=variant.model,
        data=variant.data,
        recipe=variant.recipe,
        seed=variant.seed,
        task=variant.task if variant.task.detects else base.task,
        latency=replace(base.latency, **timed),
    )
