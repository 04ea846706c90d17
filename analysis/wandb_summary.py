"""The W&B run that a sweep ends with: the study's table, effects and figures, and its files."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from analysis.bars import latency_bars
from analysis.effects import Effect, interaction_effects, main_effects
from analysis.export import run_records
from analysis.figures import Figure
from analysis.findings import Findings, find, headline
from analysis.fronts import fronts
from analysis.material import standings
from analysis.palette import in_light
from analysis.results import Results, load
from analysis.run_files import profile_files, read_object
from analysis.samples import further_measurements
from analysis.tradeoff import tradeoff
from analysis.views.effects import effect_figures
from repghost.atomic import write_text
from repghost.latency.record import as_record
from repghost.lock import Held, Lock
from repghost.tracking.spec import TrackingSpec
from repghost.tracking.tracker import Tracker
from repghost.tracking.wandb_run import Label

JOB_TYPE = "summary"
FILES = "study"  # the folder at W&B of the study's files
KEPT = ("results.csv", "study.json")
PROFILES = "profiles"  # of operators, here and at W&B
FURTHER = "further.jsonl"  # a line a measurement on a further device; runs have the first's
SAID = "said"  # a file: the digest of the results that W&B was told of last
DIGITS = 16
NO_ENDS = (None, None)
EFFECT = ("kind", "step", "seeds", "pairs", "points", "points_low", "points_high", "p_holm", "says")
FACTOR = ("latency_factor", "factor_low", "factor_high", "latency_says")


def tracking_of(study_dir: Path) -> TrackingSpec:
    """Return how the study's last sweep was tracked, as study.json has it."""
    noted = read_object(study_dir / "study.json").get("tracking") or {}
    known = {one.name for one in fields(TrackingSpec)}
    return TrackingSpec(**{name: value for name, value in noted.items() if name in known})


def tell_summary(study_dir: Path, spec: TrackingSpec, say: Callable[[str], None]) -> bool:
    """Tell W&B the study's results, unless they are those it was told last; say if it was told.

    A study has one such run, which is continued. What goes wrong with W&B or with the disk is
    passed to `say` and costs no more than a `Tracker` does.

    Raises:
        ValueError: results.csv is missing, empty or garbled.
    """
    if spec.kind == "none":
        return False
    lock = Lock(study_dir / "wandb" / "summary.lock")
    try:
        lock.acquire()
    except Held as held:
        say(f"W&B: {held} sends the study's summary")
        return False
    except OSError as error:
        say(f"W&B has no summary of the study: {error}")
        return False
    try:
        return _tell_anew(study_dir, spec, say)
    except OSError as error:
        say(f"W&B may be told the study's summary again: {error}")
        return True
    finally:
        lock.release()


def _tell_anew(study_dir: Path, spec: TrackingSpec, say: Callable[[str], None]) -> bool:
    said = study_dir / "wandb" / SAID
    digest = hashlib.sha256((study_dir / "results.csv").read_bytes()).hexdigest()
    if said.exists() and said.read_text() == digest:
        return False
    results = load(study_dir)
    with Tracker(spec, study_dir / "wandb", say) as tracker:
        tracker.start(label_of(results))
        _tell(tracker, results)
    if tracker.kept:
        write_text(said, digest)
    return tracker.kept


def label_of(results: Results) -> Label:
    """Return what the study's summary run is called.

    Its id is made of the study's name and its first variant: a sweep that is continued or widened
    keeps it, and another sweep of that name has another one.
    """
    identity = f"{results.study} {results.rows[0].key}"
    digest = hashlib.sha256(identity.encode()).hexdigest()[:DIGITS]
    about = {"swept": list(results.swept), "objective": results.objective.name}
    config = {"study": results.study} | results.provenance | about
    return Label(f"study-{digest}", results.study, f"{results.study}: summary", JOB_TYPE, config)


def _tell(tracker: Tracker, results: Results) -> None:
    found = find(results)
    mains = main_effects(results)
    tracker.summarise(scalars(results, found))
    records = run_records(results)
    tracker.table("results", list(records[0]), [list(record.values()) for record in records])
    tracker.table("effects", (*EFFECT, *FACTOR), effect_rows(mains, interaction_effects(results)))
    for name, figure in summary_figures(results, found, mains).items():
        tracker.figure(f"figures/{name}", in_light(figure))
    tracker.keep((results.study_dir / name for name in KEPT), FILES)
    tracker.keep(_profiles(results), PROFILES)
    if further := further_measurements(results):
        tracker.write(FURTHER, "".join(f"{json.dumps(as_record(one))}\n" for one in further))


def _profiles(results: Results) -> list[Path]:
    """Return the operator profiles of the study's graphs."""
    graphs = (row.fingerprint for row in results.rows)
    files = profile_files(results.study_dir.parent / PROFILES, graphs)
    return [path for paths in files.values() for path in paths]


def scalars(results: Results, found: Findings) -> dict[str, Any]:
    """Return the outcome in numbers and words; the best score is the objective's."""
    counts = Counter(row.state for row in results.rows)
    states = {f"runs_{state}": count for state, count in counts.items()}
    shown: dict[str, Any] = {"runs": len(results.rows), "variants": len(found.variants)} | states
    shown |= {"front": [found.variants[i].label for i in found.front], "says": headline(found)}
    scores = [v.score.mean for v in found.variants if v.score]
    if scores and len(found.tasks) == 1:
        shown[f"best_{found.objective.name}"] = max(scores)
    return shown


def effect_rows(mains: Sequence[Effect], crossed: Sequence[Effect]) -> Iterator[tuple[Any, ...]]:
    """Yield a row an effect; points are of the objective, what is not known is None."""
    for kind, effects in (("main", mains), ("interaction", crossed)):
        for one in effects:
            score, latency = one.score, one.latency
            mean = (score.n, one.blocks, score.value) if score else (None, None, None)
            ends = (score and score.interval) or NO_ENDS
            yield (
                *(kind, one.name, *mean, *ends, one.holm_p, one.verdict),
                *(latency.value if latency else None, *((latency and latency.interval) or NO_ENDS)),
                latency.verdict if latency else None,
            )


def summary_figures(
    results: Results, found: Findings, mains: Sequence[Effect]
) -> dict[str, Figure]:
    """Return the report's figures that have data: `pareto`, `latency`, `effects`, `factors`."""
    figures = dict(effect_figures(mains))
    if any(variant.latency for variant in found.variants):
        figures["latency"] = latency_bars(found)
    if found.placed and not found.measured_only:
        seen = fronts(results)
        figures["pareto"] = tradeoff(found, standings(found, seen), seen)
    return {name: figure for name, figure in figures.items() if figure["data"]}
