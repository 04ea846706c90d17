"""A study for other tools: runs as tidy CSV or Parquet, variants as a LaTeX or Markdown table."""

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from analysis.columns import Column, columns
from analysis.findings import Findings, find
from analysis.results import BETWEEN_FLAGS, NUMBERS, OF_DETECTORS, TEXTS, Results, Row
from analysis.texts import MISSING, bounded
from repghost.atomic import replace_file, write_text

LATEX = {
    **{char: f"\\{char}" for char in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "[": "{[}",  # after a \\ a bracket would be its argument
    "]": "{]}",
}
ALL_NUMBERS = NUMBERS + OF_DETECTORS
MARKDOWN = {char: f"\\{char}" for char in "\\`*_[]<>|#~$"}


def export(results: Results, form: str, out: Path | None) -> str:
    """Return the study as text, or write it to `out` (whole or not at all) and return its path.

    Parquet is never returned: without `out` it is `results.parquet` in the study's folder.

    Raises:
        ValueError: pyarrow is missing; how to install it is said.
        OSError: the file cannot be written.
    """
    if form == "parquet":
        path = out or results.study_dir / "results.parquet"
        _write_parquet(results, path)
        return f"{path}\n"
    writers: dict[str, Callable[[Results], str]] = {
        "csv": csv_text,
        "latex": latex_text,
        "markdown": markdown_text,
    }
    text = writers[form](results)
    if out is None:
        return text
    write_text(out, text)
    return f"{out}\n"


def csv_text(results: Results) -> str:
    """Return a line a run; further devices have columns of their own, what is missing is empty."""
    records = run_records(results)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()


def latex_text(results: Results) -> str:
    """Return a booktabs table, a row a variant: mean ± standard deviation, 95 % intervals."""
    found = find(results)
    shown = _shown(results, found)
    align = "".join("r" if column.numeric else "l" for column in shown)
    rows = [_joined(cells, " & ", LATEX) for cells in _cells(shown)]
    return "\n".join(
        [
            r"% \usepackage{booktabs}",
            *(f"% {line}" for line in _notes(results, shown)),
            rf"\begin{{tabular}}{{{align}}}",
            r"\toprule",
            _joined([column.name for column in shown], " & ", LATEX) + r" \\",
            r"\midrule",
            *(rf"{row} \\" for row in rows),
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


def markdown_text(results: Results) -> str:
    """Return GitHub's table, a row a variant, and what its columns mean."""
    found = find(results)
    shown = _shown(results, found)
    rules = ["---:" if column.numeric else "---" for column in shown]
    rows = [_joined(cells, " | ", MARKDOWN) for cells in _cells(shown)]
    lines = [_joined([column.name for column in shown], " | ", MARKDOWN), " | ".join(rules), *rows]
    notes = [f"- {escaped(line, MARKDOWN)}" for line in _notes(results, shown)]
    return "\n".join([*(f"| {line} |" for line in lines), "", *notes, ""])


def escaped(text: str, table: Mapping[str, str]) -> str:
    """Return the text with each character that means something replaced."""
    return "".join(table.get(char, char) for char in text)


def _joined(cells: Sequence[str], between: str, table: Mapping[str, str]) -> str:
    return between.join(escaped(cell, table) for cell in cells)


def _shown(results: Results, found: Findings) -> list[Column]:
    shown = columns(results, found, ratios=True)
    intervals = tuple(
        bounded(v.score.mean, *v.score.interval, 2).partition(" ")[2]
        if v.score and v.score.interval
        else MISSING
        for v in found.variants
    )
    if all(cell == MISSING for cell in intervals):
        return shown
    meaning = "of the mean, Student's t over seeds"
    interval = Column(f"{found.objective.label} 95 %", meaning, intervals, explained=True)
    place = [column.name for column in shown].index(f"{found.objective.label} %") + 1
    return [*shown[:place], interval, *shown[place:]]


def _cells(shown: Sequence[Column]) -> list[tuple[str, ...]]:
    return list(zip(*(column.cells for column in shown), strict=True))


def _notes(results: Results, shown: Sequence[Column]) -> list[str]:
    commits = sorted({row.commit for row in results.rows if row.commit})
    explained = [f"{column.name}: {column.meaning}" for column in shown if column.explained]
    return [f"study {results.study}, commit {', '.join(commits) or 'unknown'}", *explained]


def run_records(results: Results) -> list[dict[str, Any]]:
    """Return a record a run, typed; all have the same columns."""
    detects = results.detects  # looks through all rows: asked once
    return [_record(row, results.devices, detects) for row in results.rows]


def _record(row: Row, devices: Sequence[str], detects: bool) -> dict[str, Any]:
    """Return a run's columns, typed; a swept key that is also a column's name keeps both."""
    settings = {
        f"setting:{key}" if key in ALL_NUMBERS + TEXTS else key: value
        for key, value in row.settings.items()
    }
    record: dict[str, Any] = {"study": row.study, "key": row.key, "state": row.state, **settings}
    record |= {"seed": row.seed} | {name: getattr(row, name) for name in NUMBERS}
    record |= {name: getattr(row, name) for name in TEXTS if name != "flags"}
    record |= {"flags": BETWEEN_FLAGS.join(row.flags)}
    if detects:
        record |= {"detector": row.detector}
        record |= {name: row.of_detector.get(name) for name in OF_DETECTORS}
    for name in devices:
        timed = vars(row.further[name]) if name in row.further else {}
        record |= {f"{name}:{column}": timed.get(column) for column in _further_names()}
    return record


def _further_names() -> tuple[str, ...]:
    times = tuple(name for name in NUMBERS if name.startswith(("latency", "ratio")))
    return (*times, "device")


def _write_parquet(results: Results, path: Path) -> None:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ValueError(
            'parquet needs pyarrow: pip install pyarrow, or the extra: pip install ".[lab]"'
        ) from error
    records = run_records(results)
    types = {name: _type(name, pyarrow) for name in records[0]}
    about = {"study": results.study, "provenance": json.dumps(results.provenance)}
    schema = pyarrow.schema(list(types.items()), metadata=about)
    table = pyarrow.Table.from_pylist(records, schema=schema)
    replace_file(path, lambda draft: pyarrow.parquet.write_table(table, draft))


def _type(name: str, pyarrow: Any) -> Any:
    """Return a column's type by its name, so that an empty column has the same as a full one."""
    if name == "seed":
        return pyarrow.int64()
    return pyarrow.float64() if _counts(name) else pyarrow.string()


def _counts(name: str) -> bool:
    return not name.startswith("setting:") and name.rpartition(":")[2] in ALL_NUMBERS
