"""The report's sections, top to bottom, as HTML."""

from collections.abc import Sequence

from analysis.bars import height_px
from analysis.figures import Figure
from analysis.findings import Findings, both, failure_words, headline, question
from analysis.legend import legend
from analysis.markup import Html, facts, items, join, tag
from analysis.material import Material
from analysis.results import Results, Row
from analysis.tiles import tiles, time_words
from analysis.views.comparison import comparison_section
from analysis.views.detections import detections_section
from analysis.views.effects import effects_height, effects_table
from analysis.views.precision import CURVES
from analysis.views.runs import runs_section
from analysis.views.table import variants_table

SHOWN_AS = {"study", "command", "commit", "versions", "started", "question"}


def body(material: Material, figures: dict[str, Figure], other: Material | None) -> Html:
    """Return everything that a reader sees, in order; figures without data have no place."""
    results, found = material.results, material.found
    sections = [
        tiles(results, found),
        tag("section", tag("h2", "What it says"), items(headline(found)), class_="says"),
        _latencies(found) if found.measured_only else _tradeoff(material, figures),
        _inspector(),
        *([comparison_section(material, other)] if other else []),
        variants_table(material),
        _failures(found),
        _effects(material, figures),
        _curves(results, found),
        _precision(material, figures),
        detections_section(material),
        _parallel(found, figures),
        _rounds(material, figures),
        _operators(figures),
        runs_section(material),
        _provenance(results),
    ]
    footer = "Made by RepGhost Lab. This file loads nothing from the network."
    return join([_header(results, found), tag("main", *sections), tag("footer", footer)])


def _header(results: Results, found: Findings) -> Html:
    return tag(
        "header",
        tag("p", "RepGhost Lab · study", class_="eyebrow"),
        tag("h1", results.study),
        tag("p", question(results, found), class_="question"),
    )


def _section(title: str, note: str, *parts: str) -> Html:
    return tag("section", tag("h2", title), tag("p", note, class_="note"), *parts)


def _tradeoff(material: Material, figures: dict[str, Figure]) -> Html:
    found, title = material.found, "Accuracy against latency"
    label = found.objective.label
    if not any(v.score and v.latency for v in found.variants):
        nothing = f"No variant has {both(found.objective)}, so there is nothing to place."
        return _section(title, nothing)
    note = (
        "Up and to the left is better. Horizontal bars: 95 % interval of the latency; vertical"
        " bars: standard deviation over seeds (none with one seed). Dotted: the Pareto front;"
        " shaded: where it would run in 95 % of draws of all points. A thin ring around a point:"
        " undecided if it is on the front. Variants at one point are drawn as rings around each"
        " other. Click on a point, or choose a variant, for its curves, certificate and config."
    )
    return _section(
        title,
        note,
        legend(found.variants, lines=False),
        _layers(figures["tradeoff"]),
        _plot("tradeoff", f"Scatter of {label} against latency; the table below has its numbers"),
    )


def _layers(figure: Figure) -> Html:
    """Return a switch a layer that can be laid over the scatter."""
    switches = [
        tag(
            "label",
            tag("input", type="checkbox", data_layer=name, **_checked(layer)),
            tag("span", layer["name"]),
        )
        for name, layer in figure.get("layers", {}).items()
    ]
    if not switches:
        return join([])
    paper = (
        "The paper's latencies are ratios to this study's reference network, put on this device;"
        " its top-1 is ImageNet's, so heights compare only where this study's images are ImageNet."
    )
    notes = [tag("p", paper, class_="note", id="paper-note")] if "paper" in figure["layers"] else []
    return tag("div", *switches, *notes, class_="layers")


def _checked(layer: Figure) -> dict[str, str]:
    return {"checked": "checked"} if layer.get("on") else {}


def _inspector() -> Html:
    """Return the place for a chosen variant; it is filled when one is chosen."""
    chooser = tag("label", tag("span", "variant"), tag("select", id="chosen"))
    parts = tag("div", id="chosen-words", aria_live="polite")
    plots = tag(
        "div",
        _plot("chosen-scores", "What the chosen variant scored on validation images, over time"),
        _plot("chosen-rounds", "Latency by round of the chosen variant"),
        class_="pair",
    )
    runs = tag("div", id="chosen-runs")
    inside = tag("div", parts, plots, runs, id="chosen-inside", hidden="hidden")
    heading = tag("h2", "One variant", id="chosen-title", tabindex="-1")
    return tag("section", heading, chooser, inside, id="inspector", class_="long")


def _latencies(found: Findings) -> Html:
    if not any(v.latency for v in found.variants):
        return _section("Latency", "No variant has a latency yet.")
    note = (
        "Shorter is faster. Thin bars: 95 % interval. Dotted: the reference network that each"
        " latency is paired with. Nothing was trained here: latency and cost alone are compared."
    )
    plot = _plot("latency", "Bars of latency; the table below has the numbers", height_px(found))
    return _section("Latency", note, plot)


def _plot(name: str, spoken: str, height: int | None = None) -> Html:
    size = {} if height is None else {"style": f"height:{height}px"}
    return tag("div", id=name, class_="plot", role="img", aria_label=spoken, **size)


def _failures(found: Findings) -> Html:
    words = failure_words(found)
    if not words:
        return Html("")
    lines = [
        join((tag("b", state), " ", run, ": ", tag("code", reason))) for state, run, reason in words
    ]
    heading = tag("h2", f"Failed, pruned or stopped: {len(words)}")
    return tag("section", heading, items(lines), class_="bad long")


def _effects(material: Material, figures: dict[str, Figure]) -> Html:
    names = [name for name in ("effects", "factors") if name in figures]
    if not names:
        return Html("")
    note = (
        "What a step in a key does at equal other settings and seed, with its 95 % interval; an"
        " interval over the dotted line is a tie. Open circles have no interval (one seed, or seeds"
        " that agree). The latency's interval is that of the measurements."
    )
    height = effects_height(material.effects)
    plots = [_plot(name, "Effects; the table below has the numbers", height) for name in names]
    numbers = tag("div", effects_table(material.effects), class_="scroll", tabindex="0")
    table = tag("details", tag("summary", "The numbers"), numbers)
    return _section("Ablation effects", note, tag("div", *plots, class_="pair free"), table)


def _curves(results: Results, found: Findings) -> Html:
    if found.measured_only:
        return Html("")
    if not any(results.curve(row) for row in results.rows):
        return _section("Learning curves", "No run has recorded an epoch.")
    label = found.objective.label
    note = (
        f"A line a run, coloured as above. First the validation {label}, from the second half of"
        " the epochs on (double-click shows all); then validation loss (strong) and training loss"
        " (faint). Long curves are thinned."
    )
    plots = tag(
        "div",
        _plot("scores", f"Validation {label} by epoch, a line a run"),
        _plot("loss", "Training and validation loss by epoch, a line a run"),
        class_="pair",
    )
    return _section("Learning curves", note, legend(found.variants, lines=True), plots)


def _precision(material: Material, figures: dict[str, Figure]) -> Html:
    names = [name for name in CURVES if name in figures]
    if not names:
        return Html("")
    note = (
        "A line a variant, of its best run: the mean over classes of the precision at each recall,"
        " at two overlaps with what is annotated. Up and to the right is better; the area is AP50,"
        f" AP75. Drawn are {len(material.examples)} of {len(material.found.variants)} variants."
    )
    plots = tag("div", *(_plot(name, "Precision over recall") for name in names), class_="pair")
    return _section(
        "Precision and recall", note, legend(material.found.variants, lines=True), plots
    )


def _parallel(found: Findings, figures: dict[str, Figure]) -> Html:
    if not figures.get("parallel"):
        return Html("")
    scores = (
        "latency"
        if found.measured_only
        else f"latency and {found.objective.label}; thick: on the front"
    )
    note = (
        f"A line a variant through its settings, cost, {scores}. The table's filters hold here too."
    )
    plot = _plot("parallel", "Parallel coordinates; the table has the numbers")
    return _section("Parallel coordinates", note, legend(found.variants, lines=True), plot)


def _rounds(material: Material, figures: dict[str, Figure]) -> Html:
    if not figures.get("rounds"):
        return _section("Latency samples", f"No samples to show: {material.no_rounds}.")
    note = (
        "A line a deployed graph: the median of each round, over that of the reference network in"
        " the same round. A number that holds still is a level line. Many rounds are thinned."
    )
    return _section("Latency samples", note, _plot("rounds", "Latency by round, a line a graph"))


def _operators(figures: dict[str, Figure]) -> Html:
    figure = figures.get("operators")
    if not figure:
        return Html("")
    options = [tag("option", c["name"], value=str(n)) for n, c in enumerate(figure["choices"])]
    choice = tag("label", tag("span", "network"), tag("select", *options, id="profiled"))
    evidence = tag("div", id="evidence", class_="note")
    plot = _plot("operators", "Time by kind of operator of the chosen network", 420)
    note = (
        "Where a run's time goes (medians with 95 % intervals), beside the network that was"
        " profiled in the same rounds."
    )
    return _section("Operator profile", note, choice, plot, evidence)


def _provenance(results: Results) -> Html:
    known = results.provenance
    commits = sorted({row.commit for row in results.rows if row.commit})
    pairs = [
        ("command", tag("code", _plain(known.get("command")))),
        ("commit", ", ".join(commits) or _plain(known.get("commit"))),
        ("started", _plain(known.get("started"))),
        ("versions", _plain(known.get("versions"))),
        ("devices", ", ".join(_places(results.rows)) or "-"),
        ("hours used", _hours(results.rows)),
        *((name, _plain(known[name])) for name in sorted(known) if name not in SHOWN_AS),
    ]
    return tag("section", tag("h2", "Provenance"), facts(pairs))


def _hours(rows: Sequence[Row]) -> str:
    """Return the hours of training, and of how many runs they are the sum."""
    timed = [row.seconds for row in rows if row.seconds is not None]
    if not timed:
        return "-"
    hours = f"{sum(timed) / 3600:.3g} h of training in {len(timed)} runs"
    return f"{hours} ({time_words(rows)}); measuring is not counted"


def _places(rows: Sequence[Row]) -> list[str]:
    first = {f"{row.device} ({row.protocol})" for row in rows if row.device}
    others = {f"{n}: {one.device}" for row in rows for n, one in row.further.items()}
    return [*sorted(first), *sorted(others)]


def _plain(value: object) -> str:
    """Return a JSON value in words: a: 1, b: 2."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain(part)}" for name, part in value.items()) or "-"
    if isinstance(value, list):
        return " ".join(_plain(part) for part in value) or "-"
    return str(value) if value not in (None, "") else "-"
