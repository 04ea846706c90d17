"""The study as one HTML file: no network, no fonts, nothing beside it; text is always escaped."""

import base64
import contextlib
import gzip
import hashlib
import json
import os
import re
from functools import cache
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from analysis.bars import latency_bars
from analysis.curves import learning_curves
from analysis.figures import Figure
from analysis.findings import run_label
from analysis.material import Material, gather
from analysis.results import Results, load
from analysis.sections import body
from analysis.texts import latency_text, score_text
from analysis.tradeoff import standing_text, tradeoff
from analysis.variants import Variant
from analysis.views.effects import effect_figures
from analysis.views.operators import operators_figure
from analysis.views.overlay import paper_layer, study_layer
from analysis.views.parallel import parallel_coordinates
from analysis.views.precision import precision_figures
from analysis.views.rounds import rounds_figure, rounds_of_graphs

# `default-src 'none'`: whatever a text might smuggle in, the browser loads and runs nothing else.
POLICY = (
    "default-src 'none'; script-src {scripts}; style-src 'unsafe-inline'; img-src data: blob:;"
    " {connect}base-uri 'none'; form-action 'none'"
)
# What plotly's package puts around its code, for pages that load it in other ways than ours.
WRAPPED = re.compile(
    r"(?P<licence>/\*.*?\*/)\s*\(\s*function\(root, factory\).*?\(\) => \{\n"
    r"(?P<code>.*)\nwindow\.Plotly = Plotly;\s*return Plotly;\s*\}\)\);\s*",
    re.DOTALL,
)
PARTS = ("figures.js", "labels.js", "table.js", "inspector.js", "live.js", "page.js")


def write_report(study_dir: Path, compare: Path | None = None) -> Path:
    """Write the study's report.html in place of an older one, whole or not at all; return its path.

    `compare` is the folder of another study to be laid beside it.

    Raises:
        ValueError: results.csv is missing, empty or garbled.
        OSError: the file cannot be written; an older report is then left as it was.
    """
    results, other = load(study_dir), load(compare) if compare else None
    write_whole(results.report_path, render(results, other))
    return results.report_path


def render(results: Results, other: Results | None = None, *, live: str = "") -> str:
    """Return the report's HTML; `live` is the tag by which its server is asked for news."""
    material, beside = gather(results), gather(other) if other else None
    figures = _figures(material, beside)
    source, script = plotly_js(), _page_script()
    return Template(_page("report.html")).substitute(
        policy=POLICY.format(
            scripts=" ".join(map(_source_hash, (source, script))),
            connect="connect-src 'self'; " if live else "",
        ),
        live=escape(live),
        title=escape(f"{results.study} · RepGhost Lab"),
        style=_page("report.css"),
        body=body(material, figures, beside),
        figures=packed(to_json(figures)),
        study=packed(to_json(_study(material))),
        plotly=_packed_plotly(),
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


@cache
def plotly_js() -> str:
    """Return plotly.js from plotly's package, without importing the rest of plotly.

    It stands in no function, where its form allows that: browsers read one's inside twice, which
    took a quarter of the time until plotly was there.
    """
    source = (files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8")
    found = WRAPPED.fullmatch(source)
    return f"{found['licence']}\n{found['code']}\n" if found else source


def packed(text: str) -> str:
    """Return text as the page unpacks it: gzip in base64, in which nothing can end an element."""
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def to_json(value: Any) -> str:
    """Return strict JSON: a browser reads no NaN."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


@cache
def _packed_plotly() -> str:
    """Return plotly.js as the page unpacks it: 2 MB instead of 4.8; the policy names its hash."""
    return packed(plotly_js())


def _figures(material: Material, other: Material | None) -> dict[str, Figure]:
    """Return the figures that have data, by the id of their place."""
    results, found = material.results, material.found
    figures: dict[str, Figure] = {
        "parallel": parallel_coordinates(found),
        "rounds": rounds_figure(material),
        "operators": operators_figure(material),
        **effect_figures(material.effects),
        **precision_figures(material),
    }
    if found.measured_only:
        figures["latency"] = latency_bars(found)
    else:
        scatter = tradeoff(found, material.standings, material.fronts)
        figures |= {"tradeoff": scatter | {"layers": _layers(material, other)}}
        figures |= learning_curves(results, found)
    return {name: figure for name, figure in figures.items() if figure["data"]}


def _layers(material: Material, other: Material | None) -> dict[str, Figure]:
    if not material.found.placed:
        return {}
    layers = {
        "paper": paper_layer(material),
        "other": study_layer(material, other) if other else None,
    }
    return {name: layer for name, layer in layers.items() if layer}


def _study(material: Material) -> dict[str, Any]:
    """Return what table, filters, CSV and inspector go by: variants, runs, rounds of graphs."""
    found = material.found
    runs: list[dict[str, Any]] = []
    variants = []
    for i, variant in enumerate(found.variants):
        runs += [{"variant": i, "label": run_label(row)} for row in variant.rows]
        variants.append(_variant(material, variant, i))
    return {
        "name": material.results.study,
        "keys": list(material.results.swept),
        "score": found.objective.name,
        "variants": variants,
        "runs": runs,
        "rounds": rounds_of_graphs(material),
    }


def _variant(material: Material, variant: Variant, i: int) -> dict[str, Any]:
    standing, score, latency = material.standings.get(i), variant.score, variant.latency
    objective = material.found.objective
    return {
        "label": variant.label,
        "settings": variant.settings,
        "state": variant.state,
        "graph": variant.fingerprint,
        "words": {
            f"{objective.label} %": score_text(score),
            "latency ms": latency_text(latency),
            "front": standing_text(standing),
        },
        "columns": {
            "seeds": score.n if score else 0,
            objective.name: score.mean if score else None,
            f"{objective.name}_std": score.std if score else None,
            **{name: _mean(variant, name) for name, _ in objective.shown},
            "latency_ms": latency.ms if latency else None,
            "latency_low": latency.low if latency else None,
            "latency_high": latency.high if latency else None,
            "latency_ratio": latency.ratio if latency else None,
            "ratio_low": latency.ratio_low if latency else None,
            "ratio_high": latency.ratio_high if latency else None,
            "device": latency.device if latency else None,
            "params_m": variant.params_m,
            "macs_m": variant.macs_m,
            "front_status": standing.status if standing else None,
            "front_chance": standing.chance if standing else None,
        },
    }


def _mean(variant: Variant, name: str) -> float | None:
    score = variant.beside.get(name)
    return score.mean if score else None


def _page(name: str) -> str:
    return (files("analysis") / "page" / name).read_text(encoding="utf-8")


def _page_script() -> str:
    """Return the page's own code, its parts in one function, as a browser hashes it."""
    code = "\n".join(_page(name) for name in PARTS)
    return f'"use strict";\n(() => {{\n{code}}})();\n'


def _source_hash(code: str) -> str:
    digest = hashlib.sha256(code.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
