"""Weights & Biases: every run logged, offline where no account is set up, never in the way."""

import contextlib
import netrc
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

KINDS = ("wandb", "none")


@dataclass(frozen=True)
class TrackingSpec:
    """`kind=none` switches tracking off; `project` and `entity` are W&B's."""

    kind: str = "wandb"
    project: str = "repghost"
    entity: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"tracking.kind={self.kind}: allowed are {', '.join(KINDS)}")


class Tracker:
    """One W&B run, closed at the end of its `with`.

    An error of W&B is said once, through `say`, and ends the tracking only.
    """

    def __init__(self, spec: TrackingSpec, folder: Path, say: Callable[[str], None]) -> None:
        self._spec, self._folder, self._say = spec, folder, say
        self._run: Any = None

    def start(self, key: str, group: str, name: str, config: Mapping[str, Any]) -> None:
        """Open the run `key`; a run that is continued has the same id."""
        if self._spec.kind == "none":
            return
        with self._harmless():
            os.environ.update(_environment(self._folder))
            import wandb

            self._run = wandb.init(
                id=key,
                name=name,
                group=group,
                job_type="variant",
                project=self._spec.project,
                entity=self._spec.entity,
                config=dict(config),
                dir=str(self._folder),
                mode=_mode(),  # type: ignore[arg-type]
                resume="allow",
                settings=wandb.Settings(silent=True, console="off"),
            )

    def log(self, record: Mapping[str, Any]) -> None:
        """Log one epoch's record at its epoch."""
        with self._harmless():
            if self._run:
                self._run.log(dict(record), step=record["epoch"])

    def summarise(self, scores: Mapping[str, Any]) -> None:
        """Write the final scores."""
        with self._harmless():
            if self._run:
                self._run.summary.update(dict(scores))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the run, as failed where something was raised."""
        if error:
            self.summarise({"error": f"{type(error).__name__}: {error}"})
        with self._harmless():
            if self._run:
                self._run.finish(exit_code=1 if error else 0)
                self._run = None

    @contextlib.contextmanager
    def _harmless(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self._run = None
            self._say(f"W&B is off for this run: {type(error).__name__}: {error}")


def _environment(folder: Path) -> dict[str, str]:
    """Keep W&B's files below the run's folder, and its data on disk within a second."""
    places = ("WANDB_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR")
    folder.mkdir(parents=True, exist_ok=True)
    return {place: str(folder.resolve()) for place in places} | {
        "WANDB_X_TRANSACTION_LOG_FLUSH_INTERVAL": "1",
        "WANDB_ERROR_REPORTING": "false",
    }


def _mode() -> str:
    """Return the mode that the user set, or online where an account is set up, or offline."""
    if mode := os.environ.get("WANDB_MODE"):
        return mode
    return "online" if os.environ.get("WANDB_API_KEY") or _in_netrc() else "offline"


def _in_netrc() -> bool:
    host = os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai").split("//")[-1]
    try:
        return netrc.netrc().authenticators(host.split("/")[0]) is not None
    except (OSError, netrc.NetrcParseError):
        return False
