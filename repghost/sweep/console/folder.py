"""A study as commands find it that come from outside: its folder, how it was started, its jobs."""

import difflib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from repghost.atomic import read_json
from repghost.latency.spec import LatencySpec, StorageSpec
from repghost.lock import Lock
from repghost.settings import Settings
from repghost.sweep.jobs.launchers import LocalSpec, SlurmSpec
from repghost.sweep.study import JOURNAL


@dataclass(frozen=True)
class StudyFolder:
    """The folder of a study and what `study.json` in it says of the command that started it."""

    path: Path

    @property
    def name(self) -> str:
        """The study's name."""
        return self.path.name

    @cached_property
    def noted(self) -> dict[str, Any]:
        """What `study.json` says; nothing where a kill came before it was written."""
        return read_json(self.path / "study.json") or {}

    @property
    def command(self) -> str:
        """The words that go on with the study."""
        return str(self.noted.get("command") or "the command that started it")

    @property
    def lock(self) -> Lock:
        """The lock of the study's only driver, not taken."""
        return Lock(self.path / "driver.lock")

    @property
    def changed(self) -> float:
        """When the ledger was last written, in Unix time."""
        return (self.path / JOURNAL).stat().st_mtime

    @cached_property
    def launcher(self) -> LocalSpec | SlurmSpec:
        """Where the trainings run.

        Raises:
            ValueError: it was noted by a version that had other settings.
        """
        fields = dict(self.noted.get("launcher") or {})
        kind = LocalSpec if fields.pop("kind", "local") == "local" else SlurmSpec
        try:
            return kind(**fields)
        except TypeError as error:
            raise ValueError(
                f"{self.path / 'study.json'}: launcher is of another version ({error});"
                " run the study's command again, which writes it anew"
            ) from None

    @cached_property
    def settings(self) -> Settings:
        """What all variants of the study have in common, as far as it was noted."""
        return Settings(
            latency=LatencySpec(**self.noted.get("latency", {})),
            storage=StorageSpec(self.noted.get("storage", StorageSpec.url)),
            study=self.name,
            outputs=str(self.path.parent),
            parallel=self.noted.get("parallel", 1),
        )

    @property
    def option(self) -> str:
        """The option that names its outputs to `python -m repghost.sweep`, where it needs one."""
        outputs = self.settings.outputs
        return "" if outputs == Settings.outputs else f" --outputs {outputs}"


def studies(outputs: Path) -> list[StudyFolder]:
    """Return all studies below `outputs`, the one that changed last first."""
    found = [StudyFolder(path.parent) for path in outputs.glob(f"*/{JOURNAL}")]
    return sorted(found, key=lambda study: study.changed, reverse=True)


def find_study(outputs: Path, name: str) -> StudyFolder:
    """Return the study of that name.

    Raises:
        ValueError: there is none; the existing ones are named.
    """
    existing = {study.name: study for study in studies(outputs)}
    if name in existing:
        return existing[name]
    if not existing:
        raise ValueError(f"no study {name}: there is none in {outputs}; --outputs looks elsewhere")
    near = difflib.get_close_matches(name, existing, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise ValueError(f"no study {name} in {outputs}; {hint}there are {', '.join(existing)}")
