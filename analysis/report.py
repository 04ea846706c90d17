"""The study as one HTML file: no network, no fonts, nothing beside it; text is always escaped."""

import base64
import contextlib
import hashlib
import os
from collections.abc import Mapping
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from analysis.bars import latency_bars
from analysis.curves import learning_curves
from analysis.findings import Findings, find
from analysis.markup import script_json
from analysis.results import Results, load
from analysis.sections import body
from analysis.tradeoff import tradeoff

# `default-src 'none'`: whatever a text might smuggle in, the browser loads and runs nothing else.
POLICY = (
    "default-src 'none'; script-src {scripts}; style-src 'unsafe-inline'; img-src data: blob:;"
    " base-uri 'none'; form-action 'none'"
)


def write_report(study_dir: Path) -> Path:
    """Write the study's report.html in place of an older one, whole or not at all; return its path.

    Raises:
        ValueError: results.csv is missing, empty or garbled.
        OSError: the file cannot be written; an older report is then left as it was.
    """
    results = load(study_dir)
    write_whole(results.report_path, render(results))
    return results.report_path


def render(results: Results) -> str:
    """Return the report's HTML."""
    found = find(results)
    plotly, script = _script(plotly_js()), _script(_page("report.js"))
    return Template(_page("report.html")).substitute(
        policy=POLICY.format(scripts=" ".join(map(_source_hash, (plotly, script)))),
        title=escape(f"{results.study} · RepGhost Lab"),
        style=_page("report.css"),
        body=body(results, found),
        figures=script_json(_figures(results, found)),
        plotly=plotly,
        script=script,
    )


def write_whole(path: Path, text: str) -> None:
    """Replace `path` by `text`; whenever the process dies, the file is the old one or the new."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with draft.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)


def plotly_js() -> str:
    """Return plotly.js as plotly's package brings it, without importing the rest of plotly."""
    return (files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8")


def _figures(results: Results, found: Findings) -> Mapping[str, Any]:
    if found.measured_only:
        figures = {"latency": latency_bars(found)}
    else:
        figures = {"tradeoff": tradeoff(found), **learning_curves(results, found)}
    return {name: figure for name, figure in figures.items() if figure["data"]}


def _page(name: str) -> str:
    return (files("analysis") / "page" / name).read_text(encoding="utf-8")


def _script(code: str) -> str:
    """Return code for the inside of a script element, with line ends as a browser hashes them."""
    return code.replace("\r\n", "\n").replace("\r", "\n").replace("</script", "<\\/script")


def _source_hash(code: str) -> str:
    digest = hashlib.sha256(code.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
