"""The best variant within a budget as a folder that can be shipped, or why there is none."""

import math
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.export import MARKDOWN, escaped
from analysis.fronts import Front, fronts
from analysis.fronts_table import Budget, budget_words, chance_within
from analysis.results import Results, Row
from analysis.texts import latency_text, ratio_text, score_text
from analysis.variants import Variant
from repghost.atomic import read_json
from repghost.words import counted

if TYPE_CHECKING:
    from analysis.shipping import Shipped

FILES = (
    ("model.safetensors", "the fused weights"),
    ("model.json", "the network's structure, which `classify.py` builds with the repghost package"),
    ("model.onnx, model.mnn", "the deployed graph"),
    ("labels.txt", "a class a line, in the order of the outputs"),
    ("preprocessing.json", "from an image file to the input"),
    ("certificate.json", "the run's proof that the deployed network is the trained one"),
    ("config.yaml", "what the training's result depends on"),
    ("classify.py", "`python classify.py IMAGE [safetensors|onnx|mnn]`"),
)


def pick(results: Results, budget: Budget, out: Path, place: str = "") -> list[str]:
    """Write the best variant within the budget to the folder `out`, and say in lines which it is.

    The folder appears whole or not at all. `place`: words of the device and protocol to go by.

    Raises:
        ValueError: nothing fits (the nearest is named), the study has several places, `out` holds
            something, or a form of the network does not pass its check.
        OSError: the folder cannot be written.
    """
    if results.detects:
        raise ValueError(f"{results.study}: holds detectors; pick ships classifiers alone")
    _require_free(out)
    front = _one_front(results, place)
    fitting = front.within(*budget)
    if not fitting:
        raise ValueError(f"{results.study}: {' '.join(budget_words(front, budget))}")
    i = fitting[0]
    row = front.variants[i].best_run
    assert row is not None  # a front is of variants with scores
    _write_whole(out, lambda folder: _fill(results, front, i, row, budget, folder))
    said = budget_words(front, budget) or [f"the most accurate is {front.variants[i].label}"]
    return [*said, f"seed {row.seed} (run {row.key}) is in {out}"]


def _one_front(results: Results, place: str) -> Front:
    found = [front for front in fronts(results) if place.lower() in front.place.lower()]
    if not found:
        where = f" on {place}" if place else ""
        raise ValueError(f"{results.study}: no variant has both a top-1 and a latency{where}")
    if len(found) > 1:
        places = "; ".join(front.place for front in found)
        raise ValueError(
            f"{results.study}: latencies of several places are not compared ({places});"
            " name one with --place"
        )
    return found[0]


def _require_free(out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out}: is there already and not an empty folder; name another --out")


def _write_whole(out: Path, fill: Callable[[Path], None]) -> None:
    """Let `fill` write a folder beside `out`, then put it in its place."""
    out.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        fill(draft)
        draft.chmod(0o755)
        draft.replace(out)  # onto nothing, or onto an empty folder
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _fill(results: Results, front: Front, i: int, row: Row, budget: Budget, folder: Path) -> None:
    from analysis.shipping import ship

    run = results.runs_dir / row.key
    shipped = ship(run, folder)
    result = read_json(run / "result.json") or {}
    card = model_card(results, front, i, row, budget, shipped, result)
    (folder / "README.md").write_text(card, encoding="utf-8")


def model_card(
    results: Results,
    front: Front,
    i: int,
    row: Row,
    budget: Budget,
    shipped: "Shipped",
    result: dict[str, Any],
) -> str:
    """Return the model card in Markdown: what it is, its numbers and their evidence."""
    variant = front.variants[i]
    name = shipped.variant.model.describe()
    parts = [
        f"# {_md(name)}",
        f"Picked from the study {_md(results.study)}: {_md(variant.label)}, seed {row.seed}.",
        _section("Numbers", _numbers(front, i, row, budget)),
        _section("Evidence", _evidence(row, shipped, result)),
        _section("Files", [f"`{file}`: {what}" for file, what in FILES]),
        _section("What it does not say", _limits(variant, front, shipped)),
    ]
    return "\n\n".join(parts) + "\n"


def _numbers(front: Front, i: int, row: Row, budget: Budget) -> list[str]:
    variant = front.variants[i]
    score, latency = variant.score, variant.latency
    assert score is not None and latency is not None
    interval = "no interval with one seed"
    if score.interval:
        interval = f"95 % interval {score.interval[0]:.2f} to {score.interval[1]:.2f}"
    seeds = ", ".join(map(str, variant.seeds))
    lines = [
        f"top-1 of these weights: {row.score:.2f} % on the validation images",
        f"top-1 of the variant: {score_text(score)} % (n = {score.n}, seeds {seeds}; {interval})",
        f"latency: {latency_text(latency)} ms ({_md(latency.place)})",
        f"parameters {variant.params_m or 0:.2f} M, multiply-adds {variant.macs_m or 0:.1f} M",
        f"chance to be on the study's Pareto front: {front.chances.front[i]:.2f}",
    ]
    if latency.ratio is not None:
        lines.insert(3, f"ratio to {_md(latency.reference)}: {ratio_text(latency)}")
    if not math.isinf(budget[0]):
        chance = chance_within(front, i, budget[0])
        lines.append(f"asked for: at most {budget[0]:g} ms; chance to be within: {chance:.0%}")
    return lines + [f"doubtful latency: {_md(flag)}" for flag in latency.flags]


def _evidence(row: Row, shipped: "Shipped", result: dict[str, Any]) -> list[str]:
    forms = [name for name, one in shipped.checks.items() if isinstance(one, dict)]
    checked = ", ".join(
        f"{form} {shipped.checks[form]['relative_error']:.1e} (tolerance"
        f" {shipped.checks[form]['tolerance']:g})"
        for form in forms
    )
    versions = result.get("versions")
    listed = (
        ", ".join(f"{k} {v}" for k, v in versions.items()) if isinstance(versions, dict) else ""
    )
    return [
        f"checked again when picked, on {shipped.checks['inputs']} inputs of noise, relative error"
        f" against the training form: {checked}",
        f"ONNX against the fused weights, run by {shipped.onnx_by}: {shipped.onnx_error:.1e}",
        f"run {row.key}, commit {_md(row.commit or 'unknown')}",
        _md(listed or "versions unknown"),
        f"trained {counted(round(row.epochs or 0), 'epoch')} in {row.seconds or 0:.0f} s",
    ]


def _limits(variant: Variant, front: Front, shipped: "Shipped") -> list[str]:
    lines = [f"labels are {_md(shipped.labels_from)}"]
    if len(variant.finished) > 1:
        lines.append(
            "of several seeds the best on the validation images was taken: on new images"
            " expect the variant's mean rather than this seed's figure"
        )
    else:
        lines.append("one seed: how far the luck of training moves its top-1 is not known")
    if front.points.spread is None:
        lines.append("the chance to be on the front speaks of latency alone")
    return [*lines, "the latency is that of one device and one protocol"]


def _section(title: str, lines: Sequence[str]) -> str:
    return "\n".join([f"## {title}", "", *(f"- {line}" for line in lines)])


def _md(text: str) -> str:
    return escaped(text, MARKDOWN)
