"""Parameters and MACs of Tables 3 and 5 beside the paper's; a process of its own counts them."""

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from subprocess import PIPE, Popen
from tempfile import TemporaryFile
from typing import IO

from analysis.paper.reasons import NOT_KNOWN, REASONS
from analysis.paper.sheet import Sheet
from analysis.paper.tables import PaperRow, paper_rows

COMMAND = (sys.executable, "-m", "repghost.costs")
MILLION = 10**6
UNITS = {"Table 3": ("M", 10**6, Decimal(1)), "Table 5": ("B", 10**9, Decimal("0.1"))}
TENTH = Decimal("0.1")


@dataclass(frozen=True)
class Cost:
    """Parameters and MACs (one image of 224 pixels) of the deployed form of an entry.

    `training_params` are those of its training form: BatchNorm and branches included.
    """

    name: str
    params: int
    macs: int
    training_params: int


@dataclass(frozen=True)
class Agreement:
    """Whether a row's counts round to what the paper prints; parameters in either form."""

    params: bool
    training_params: bool
    macs: bool

    @property
    def whole(self) -> bool:
        """Both counts agree, the parameters in one of the two forms."""
        return self.macs and (self.params or self.training_params)

    @property
    def words(self) -> str:
        """ "yes", or what does not agree."""
        if self.whole:
            return "yes" if self.params else "as training form"
        parts = [*([] if self.params or self.training_params else ["params"])]
        return f"no: {' and '.join([*parts, *([] if self.macs else ['MACs'])])}"


def count(
    names: Iterable[str],
    on_cost: Callable[[str, int], None] = lambda name, done: None,
    command: Sequence[str] = COMMAND,
) -> dict[str, Cost]:
    """Count entries in a process of its own, because it imports torch; return them by name.

    `on_cost` is told each name as soon as it is counted, and how many are.

    Raises:
        ValueError: the process fails, says something else, or leaves out an entry.
    """
    wanted = list(dict.fromkeys(names))
    found: dict[str, Cost] = {}
    with TemporaryFile("w+") as errors:
        with Popen([*command, *wanted], stdout=PIPE, stderr=errors, text=True) as process:
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    cost = _cost(line)
                    found[cost.name] = cost
                    on_cost(cost.name, len(found))
            except BaseException:
                process.kill()
                raise
        _require_success(process.returncode, errors)
    missing = [name for name in wanted if name not in found]
    if missing:
        raise ValueError(f"repghost.costs ended without {', '.join(missing)}")
    return found


def cost_sheets(costs: Mapping[str, Cost]) -> list[Sheet]:
    """Return a sheet a table: each row's counts beside the paper's, and why one differs."""
    return [_sheet(table, costs) for table in UNITS]


def agreement(row: PaperRow, cost: Cost) -> Agreement:
    """Compare counts rounded as the paper rounds: 0.1 M parameters, 1 M or 0.1 B MACs."""
    _, unit, digit = UNITS[row.table]
    return Agreement(
        params=rounded(cost.params, MILLION, TENTH) == row.params_m,
        training_params=rounded(cost.training_params, MILLION, TENTH) == row.params_m,
        macs=rounded(cost.macs, unit, digit) == row.macs,
    )


def rounded(count: int, unit: int, digit: Decimal) -> Decimal:
    """Return a count in `unit`, rounded half up to a multiple of `digit` (1, 0.1)."""
    return (Decimal(count) / unit).quantize(digit, ROUND_HALF_UP)


def _sheet(table: str, costs: Mapping[str, Cost]) -> Sheet:
    unit, size, _ = UNITS[table]
    rows = paper_rows(table)
    agreed = {row.name: agreement(row, costs[row.name]) for row in rows}
    names = "network", "Params M", "training form M", "paper M"
    cells = [
        (
            row.label,
            f"{costs[row.name].params / MILLION:.2f}",
            f"{costs[row.name].training_params / MILLION:.2f}",
            str(row.params_m),
            f"{costs[row.name].macs / size:.{1 if unit == 'M' else 2}f}",
            str(row.macs),
            agreed[row.name].words,
        )
        for row in rows
    ]
    headings = (*names, f"MACs {unit}", f"paper {unit}", "agrees")
    title = f"{table}: parameters and multiply-adds of the deployed form (224 pixels)"
    return Sheet(title, headings, cells, _notes(rows, agreed))


def _notes(rows: Sequence[PaperRow], agreed: Mapping[str, Agreement]) -> list[str]:
    whole = [row for row in rows if agreed[row.name].whole]
    training = sum(not agreed[row.name].params for row in whole)
    reasons: dict[str, list[str]] = {}
    for row in rows:
        if row not in whole:
            reasons.setdefault(REASONS.get(row.name, NOT_KNOWN), []).append(row.label)
    form = (
        f"; {training} of them count the training form's parameters, BatchNorm and branches"
        " included (as training form)"
        if training
        else ""
    )
    return [
        f"{len(whole)} of {len(rows)} agree with the paper after rounding as it rounds{form}.",
        *(f"{', '.join(labels)}: {reason}." for reason, labels in reasons.items()),
    ]


def _cost(line: str) -> Cost:
    """Return the costs in a line of JSON."""
    with suppress(ValueError, TypeError, AttributeError):
        record = json.loads(line)
        numbers = (record[name] for name in ("params", "macs", "training_params"))
        with suppress(KeyError):
            return Cost(str(record["name"]), *map(int, numbers))
    raise ValueError(f"repghost.costs said {line.strip()[:80]!r}: not a line of costs")


def _require_success(code: int, errors: IO[str]) -> None:
    if code == 0:
        return
    errors.seek(0)
    lines = [line.strip() for line in errors.read().splitlines() if line.strip()]
    how = f"was killed (signal {-code})" if code < 0 else f"ended with code {code}"
    said = f": {lines[-1]}" if lines else ""
    raise ValueError(f"the counting of costs (python -m repghost.costs) {how}{said}")
