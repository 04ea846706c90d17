"""The report's sections, top to bottom, as HTML."""

from collections.abc import Iterable

from analysis.columns import ON_FRONT, Column, columns
from analysis.findings import Findings, failure_words, headline, question, run_label
from analysis.legend import legend
from analysis.markup import Html, facts, items, join, tag
from analysis.results import STATES, Results, Row

STAR = "★"
RUNS_OPEN = 12
SHOWN_AS = {"study", "command", "commit", "versions", "started", "question"}


def body(results: Results, found: Findings) -> Html:
    """Return everything that a reader sees, in order."""
    sections = [
        _tiles(results, found),
        tag("section", tag("h2", "What it says"), items(headline(found)), class_="says"),
        _tradeoff(found),
        _table(results, found),
        _failures(found),
        _curves(results, found),
        _runs(results, found),
        _provenance(results),
    ]
    footer = "Made by RepGhost Lab. This file loads nothing from the network."
    return join([_header(results), tag("main", *sections), tag("footer", footer)])


def _header(results: Results) -> Html:
    return tag(
        "header",
        tag("p", "RepGhost Lab · study", class_="eyebrow"),
        tag("h1", results.study),
        tag("p", question(results), class_="question"),
    )


def _tiles(results: Results, found: Findings) -> Html:
    scored = [v for v in found.variants if v.top1]
    timed = [v for v in found.variants if v.latency]
    best = scored[0] if scored else None
    fastest = min(timed, key=lambda v: v.latency.ms if v.latency else 0) if timed else None
    done = sum(1 for row in results.rows if row.state == "finished")
    return tag(
        "dl",
        _tile(
            "Best top-1",
            f"{best.top1.mean:.2f} %" if best and best.top1 else "-",
            best.label if best else "no run has finished",
        ),
        _tile(
            "Lowest latency",
            f"{fastest.latency.ms:.3g} ms" if fastest and fastest.latency else "-",
            _fastest_words(found, fastest.latency.ms if fastest and fastest.latency else None),
        ),
        _tile("On the front", str(len(found.front)), f"of {found.placed} variants"),
        _tile("Runs finished", f"{done} of {len(results.rows)}", _time_words(results.rows)),
        class_="tiles",
    )


def _tile(name: str, value: str, detail: str) -> Html:
    return tag("div", tag("dt", name), tag("dd", value, tag("small", detail)))


def _fastest_words(found: Findings, ms: float | None) -> str:
    names = [v.label for v in found.variants if v.latency and v.latency.ms == ms]
    if len(names) > 3:
        return f"{names[0]} and {len(names) - 1} more"
    return ", ".join(names) or "nothing was measured"


def _time_words(rows: Iterable[Row]) -> str:
    seconds = sum(row.seconds or 0.0 for row in rows)
    if seconds < 90:
        return f"{seconds:.0f} s in all"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min in all"
    return f"{seconds / 3600:.1f} h in all"


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


def _plot(name: str, spoken: str) -> Html:
    return tag("div", id=name, class_="plot", role="img", aria_label=spoken)


def _table(results: Results, found: Findings) -> Html:
    shown = columns(results, found)
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
    table = tag("table", tag("thead", head), tag("tbody", *rows))
    notes = [f"{_heading(c)}: {c.meaning}" for c in shown if c.name in _EXPLAINED]
    return tag(
        "section",
        tag("h2", "All variants"),
        tag("p", "; ".join(notes) + ".", class_="note"),
        tag("div", table, class_="scroll", tabindex="0", role="region", aria_label="All variants"),
        class_="long",
    )


def _row_class(found: Findings, i: int) -> str:
    state = found.variants[i].state
    return "front" if i in found.front else state if state in STATES else ""


_EXPLAINED = (ON_FRONT, "top-1 %", "latency ms", "ratio", "twins")
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
    heading = tag("h2", f"Failed or pruned: {len(words)}")
    return tag("section", heading, items(lines), class_="bad long")


def _curves(results: Results, found: Findings) -> Html:
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
    note = "Each run with its certificate: how far the deployed network is from the trained one."
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
        ("run time", _time_words(results.rows)),
        *((name, _plain(known[name])) for name in sorted(known) if name not in SHOWN_AS),
    ]
    return tag("section", tag("h2", "Provenance"), facts(pairs))


def _places(rows: Iterable[Row]) -> list[str]:
    return sorted({f"{row.device} ({row.protocol})" for row in rows if row.device})


def _plain(value: object) -> str:
    """Return a JSON value in words: a: 1, b: 2."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain(part)}" for name, part in value.items()) or "-"
    if isinstance(value, list):
        return " ".join(_plain(part) for part in value) or "-"
    return str(value) if value not in (None, "") else "-"
