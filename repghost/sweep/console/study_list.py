"""All studies below a folder of outputs, a line each."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from repghost.sweep.console.folder import StudyFolder, studies
from repghost.sweep.console.status import counted_states, driver_of
from repghost.sweep.console.view import STYLES, counted, in_words
from repghost.sweep.study import Ledger


@dataclass(frozen=True)
class Listed:
    """A study in short; `changed` is Unix time, `error` why its ledger cannot be read."""

    study: str
    counts: dict[str, int]
    driver: str | None
    changed: float
    error: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return asdict(self)


def listed(outputs: Path) -> list[Listed]:
    """Return all studies below `outputs`, the one that changed last first."""
    return [_listed(study) for study in studies(outputs)]


def _listed(study: StudyFolder) -> Listed:
    driver, _ = driver_of(study)
    try:
        tickets = Ledger.read(study.path, study.name, study.settings).tickets()
    except ValueError as error:
        return Listed(study.name, {}, driver, study.changed, str(error))
    counts = counted_states(ticket.life.state for ticket in tickets)
    return Listed(study.name, counts, driver, study.changed)


def list_page(found: Sequence[Listed], outputs: Path, now: float) -> list[RenderableType]:
    """Return what is to be printed; `now` is Unix time. Nothing in it is read as markup."""
    if not found:
        start = "`python launch.py -m model.reparam=bn,id` starts one"
        return [Text(f"no study in {outputs}; {start}, --outputs FOLDER looks elsewhere")]
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for name in ("study", "variants", "driver"):
        table.add_column(name, overflow="fold")
    table.add_column("changed", justify="right", no_wrap=True)
    for one in found:
        states = Text(counted(one.counts)) if not one.error else Text(one.error, STYLES["failed"])
        ago = f"{in_words(now - one.changed, coarse=True)} ago"
        driver = (one.driver or "none").partition(" since ")[0]
        table.add_row(Text(one.study), states, Text(driver), ago)
    return [table]
