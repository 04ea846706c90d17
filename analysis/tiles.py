"""The four numbers on top of the report."""

from collections.abc import Iterable, Sequence

from analysis.findings import Findings
from analysis.markup import Html, tag
from analysis.results import ENDED, Results, Row
from analysis.speed import spread
from analysis.texts import ratio_text, short_ms
from analysis.variants import Variant


def tiles(results: Results, found: Findings) -> Html:
    """Return best, fastest, front and progress; without training the range of the latencies."""
    shown = _speed_tiles(found) if found.measured_only else _score_tiles(found)
    done = sum(row.state in ENDED for row in results.rows)
    name = "Runs measured" if found.measured_only else "Runs finished"
    progress = _tile(name, f"{done} of {len(results.rows)}", time_words(results.rows))
    return tag("dl", *shown, progress, class_="tiles")


def time_words(rows: Iterable[Row]) -> str:
    """Return the time that the runs trained; nothing where none did."""
    seconds = sum(row.seconds or 0.0 for row in rows)
    if seconds == 0:
        return ""
    if seconds < 90:
        return f"{seconds:.0f} s in all"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min in all"
    return f"{seconds / 3600:.1f} h in all"


def _score_tiles(found: Findings) -> list[Html]:
    best = next((v for v in found.variants if v.score), None)
    fastest = min((v.latency.ms for v in found.variants if v.latency), default=None)
    return [
        _tile(
            f"Best {best.objective.label if best else found.objective.label}",
            f"{best.score.mean:.2f} %" if best and best.score else "-",
            best.label if best else "no run has finished",
        ),
        _latency_tile("Lowest latency", found.variants, fastest),
        _tile("On the front", str(len(found.front)), f"of {found.placed} variants"),
    ]


def _speed_tiles(found: Findings) -> list[Html]:
    timed = [v.latency for v in found.variants if v.latency]  # from fast to slow
    times = spread(found.variants)
    ratio = f"fastest: ratio {ratio_text(timed[0])}" if timed and timed[0].ratio else ""
    return [
        _latency_tile("Lowest latency", found.variants, timed[0].ms if timed else None),
        _latency_tile("Highest latency", found.variants, timed[-1].ms if timed else None),
        _tile("Highest over lowest", "-" if times is None else f"{times:.3g} ×", ratio),
    ]


def _latency_tile(name: str, variants: Sequence[Variant], ms: float | None) -> Html:
    names = [v.label for v in variants if v.latency and v.latency.ms == ms]
    if len(names) > 3:
        names = [f"{names[0]} and {len(names) - 1} more"]
    value = "-" if ms is None else short_ms(ms)
    return _tile(name, value, ", ".join(names) or "nothing was measured")


def _tile(name: str, value: str, detail: str) -> Html:
    return tag("div", tag("dt", name), tag("dd", value, tag("small", detail)))
