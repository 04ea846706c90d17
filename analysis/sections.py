"""The report's sections, top to bottom, as HTML."""

from collections.abc import Sequence

from analysis.bars import height_px
from analysis.columns import ON_FRONT, Column, columns
from analysis.devices import flag_words
from analysis.findings import Findings, failure_words, headline, question, run_label
from analysis.legend import legend
from analysis.markup import Html, facts, items, join, tag
from analysis.results import STATES, Results, Row
from analysis.tiles import tiles, time_words

STAR = "★"
RUNS_OPEN = 12
SHOWN_AS = {"study", "command", "commit", "versions", "started", "question"}


def body(results: Results, found: Findings) -> Html:
    """Return everything that a reader sees, in order."""
    sections = [
        tiles(results, found),
        tag("section", tag("h2", "What it says"), items(headline(found)), class_="says"),
        _latencies(found) if found.measured_only else _tradeoff(found),
        _table(results, found),
        _failures(found),
        _curves(results, found),
        _runs(results, found),
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


def _tradeoff(found: Findings) -> Html:
    heading = tag("h2", "Accuracy against latency")
    if not any(v.top1 and v.latency for v in found.variants):
        empty = "No variant has both a top-1 and a latency, so there is nothing to place."
        return tag("section", heading, tag("p", empty, class_="note"))
    note = (
        "Up and to the left is better. Horizontal bars: 95 % interval of the latency; vertical"
        " bars: standard deviation over seeds (none with one seed). Dotted: the Pareto front."
        " Variants at one point are drawn as rings around each other."
    )
    return tag(
        "section",
        heading,
        tag("p", note, class_="note"),
        legend(found.variants, lines=False),
        _plot("tradeoff", "Scatter of top-1 against latency; the table below has its numbers"),
    )


def _latencies(found: Findings) -> Html:
    heading = tag("h2", "Latency")
    if not any(v.latency for v in found.variants):
        return tag("section", heading, tag("p", "No variant has a latency yet.", class_="note"))
    note = (
        "Shorter is faster. Thin bars: 95 % interval. Dotted: the reference network that each"
        " latency is paired with. Nothing was trained here: latency and cost alone are compared."
    )
    plot = _plot("latency", "Bars of latency; the table below has the numbers", height_px(found))
    return tag("section", heading, tag("p", note, class_="note"), plot)


def _plot(name: str, spoken: str, height: int | None = None) -> Html:
    size = {} if height is None else {"style": f"height:{height}px"}
    return tag("div", id=name, class_="plot", role="img", aria_label=spoken, **size)


def _table(results: Results, found: Findings) -> Html:
    shown = columns(results, found, ratios=True)
    if results.devices:  # many columns: each as narrow as it can be
        shown = [column.folded if column.numeric else column for column in shown]
    head = tag("tr", *(_cell("th", column, _heading(column)) for column in shown))
    rows = [
        tag(
            "tr",
            *(
                _cell("td", c, STAR if c.name == ON_FRONT and c.cells[i] else c.cells[i])
                for c in shown
            ),
            class_=_row_class(found, i),
        )
        for i in range(len(found.variants))
    ]
    size = {"class_": "wide"} if results.devices else {}
    table = tag("table", tag("thead", head), tag("tbody", *rows), **size)
    notes = [f"{_heading(c)}: {c.meaning}" for c in shown if c.explained]
    return tag(
        "section",
        tag("h2", "All variants"),
        tag("p", "; ".join(notes) + ".", class_="note"),
        tag("div", table, class_="scroll", tabindex="0", role="region", aria_label="All variants"),
        _doubts(found),
        class_="long",
    )


def _doubts(found: Findings) -> Html:
    words = flag_words(found.variants)
    if not words:
        return Html("")
    heading = tag("h3", "Doubtful latencies")
    return tag("div", heading, items(words), class_="doubts")


def _row_class(found: Findings, i: int) -> str:
    state = found.variants[i].state
    return "front" if i in found.front else state if state in STATES else ""


_STYLES = {ON_FRONT: "star", "twins": "short", "state": "short"}


def _heading(column: Column) -> str:
    return STAR if column.name == ON_FRONT else column.name


def _cell(kind: str, column: Column, text: str) -> Html:
    style = "number" if column.numeric else _STYLES.get(column.name, "name")
    if kind == "th":
        return tag("th", text, class_=style, title=column.meaning, scope="col")
    return tag("td", text, class_=style)


def _failures(found: Findings) -> Html:
    words = failure_words(found)
    if not words:
        return Html("")
    lines = [
        join((tag("b", state), " ", run, ": ", tag("code", reason))) for state, run, reason in words
    ]
    heading = tag("h2", f"Failed, pruned or stopped: {len(words)}")
    return tag("section", heading, items(lines), class_="bad long")


def _curves(results: Results, found: Findings) -> Html:
    if found.measured_only:
        return Html("")
    heading = tag("h2", "Learning curves")
    if not any(results.curve(row) for row in results.rows):
        return tag("section", heading, tag("p", "No run has recorded an epoch.", class_="note"))
    note = (
        "A line a run, coloured as above. First the validation top-1, from the second half of the"
        " epochs on (double-click shows all); then validation loss (strong) and training loss"
        " (faint). Long curves are thinned."
    )
    plots = tag(
        "div",
        _plot("top1", "Validation top-1 by epoch, a line a run"),
        _plot("loss", "Training and validation loss by epoch, a line a run"),
        class_="pair",
    )
    key = legend(found.variants, lines=True)
    return tag("section", heading, tag("p", note, class_="note"), key, plots)


def _runs(results: Results, found: Findings) -> Html:
    rows = [row for variant in found.variants for row in variant.rows]
    other = "its training form" if found.measured_only else "the trained one"
    note = f"Each run with its certificate: how far the deployed network is from {other}."
    runs = join(_run(results, row) for row in rows)
    if len(rows) > RUNS_OPEN:
        runs = tag("details", tag("summary", f"Show {len(rows)} runs"), runs)
    heading = tag("h2", "Runs and certificates")
    return tag("section", heading, tag("p", note, class_="note"), runs, class_="long")


def _run(results: Results, row: Row) -> Html:
    words = [
        row.state,
        *([f"top-1 {row.top1:.2f} %"] if row.top1 is not None else []),
        *([f"{row.epochs:.0f} epochs"] if row.epochs is not None else []),
        *([f"{row.seconds:.0f} s"] if row.seconds is not None else []),
        f"run {row.key}",
    ]
    summary = tag("summary", run_label(row), " ", tag("span", " · ".join(words), class_="note"))
    certificate = results.certificate(row).strip() or "no certificate.json was written"
    return tag("details", summary, tag("pre", certificate))


def _provenance(results: Results) -> Html:
    known = results.provenance
    commits = sorted({row.commit for row in results.rows if row.commit})
    versions = known.get("versions")
    pairs = [
        ("command", tag("code", _plain(known.get("command")))),
        ("commit", _plain(known.get("commit") or ", ".join(commits))),
        ("started", _plain(known.get("started"))),
        ("versions", _plain(versions)),
        ("devices", ", ".join(_places(results.rows)) or "-"),
        ("run time", time_words(results.rows) or "-"),
        *((name, _plain(known[name])) for name in sorted(known) if name not in SHOWN_AS),
    ]
    return tag("section", tag("h2", "Provenance"), facts(pairs))


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
