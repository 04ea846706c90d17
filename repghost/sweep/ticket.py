"""A variant in a study: what it is, and what has become of it so far."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from repghost.objective import TOP1
from repghost.settings import Settings
from repghost.sweep.space.points import Value

WAITING = "waiting"
TIMING = "timing"  # a worker is to bring its latency, and no job is at work on it
IN_JOBS = ("measuring", "queued", "running", "preempted")
AT_WORK = (*IN_JOBS, TIMING)
REQUEUED = "requeued: "  # begins the cause of a variant that waits again
ENDS = ("finished", "measured", "pruned", "stopped", "failed", "cancelled")


@dataclass(frozen=True)
class Outcome:
    """How a variant ended; one of `ENDS`.

    finished with scores, measured alone, pruned over the latency budget, stopped at a rung, failed
    (in its code, or `lost` to the machine too often), or cancelled by the user.
    """

    state: str
    score: float | None = None
    latency_ms: float | None = None
    reason: str = ""
    lost: bool = False
    ratio: float | None = None  # to the reference network: what the latency in ms is scaled from


@dataclass(frozen=True)
class Life:
    """One state in the life of a variant: since when (Unix time), why, and in which job."""

    state: str = WAITING
    since: float = 0.0
    cause: str = ""
    job: str = ""
    requeues: int = 0  # jobs lost in a row without progress
    score: float | None = None
    latency_ms: float | None = None
    lost: bool = False  # failed for want of a machine, not in its code
    ratio: float | None = None  # of the latency to the reference network's

    @property
    def ended(self) -> bool:
        """Whether nothing more is to come."""
        return self.state in ENDS

    def note(self) -> dict[str, Any]:
        """Return it as plain data, what is not set left out."""
        always = {"state", "since"}
        return {name: value for name, value in asdict(self).items() if value or name in always}

    @classmethod
    def noted(cls, note: dict[str, Any]) -> Self:
        """Return what `note` described; the score was called top1 in earlier versions."""
        return cls(**{"score" if name == TOP1.name else name: note[name] for name in note})


@dataclass(eq=False)
class Ticket:
    """One trial of the study and the variant that it stands for; the ledger moves its `life`."""

    number: int
    trial_id: int
    row: str  # see `Point.row`
    key: str  # of the run
    swept: dict[str, Value]
    lives: list[Life] = field(default_factory=lambda: [Life()])
    _settings: Settings | Callable[[], Settings] = field(default_factory=Settings)

    @property
    def settings(self) -> Settings:
        """The variant and everything around it."""
        if not isinstance(self._settings, Settings):
            self._settings = self._settings()
        return self._settings

    def settle(self, settings: Settings | Callable[[], Settings]) -> None:
        """Set the settings, or what makes them when somebody asks: a study may have thousands."""
        self._settings = settings

    @property
    def life(self) -> Life:
        """What it is now."""
        return self.lives[-1]

    @property
    def losses(self) -> int:
        """How many of its jobs were lost to the machine so far."""
        return sum(life.cause.startswith(REQUEUED) for life in self.lives)

    @property
    def name(self) -> str:
        """The swept values in a few words, for people."""
        return _in_words(self.swept) or "run"

    @property
    def configuration(self) -> str:
        """The same without the seed: what seeds of one configuration have in common."""
        return _in_words({key: value for key, value in self.swept.items() if key != "seed"})


def _in_words(swept: dict[str, Value]) -> str:
    return " ".join(f"{key.split('.')[-1]}={value}" for key, value in swept.items())
