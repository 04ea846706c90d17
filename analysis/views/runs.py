"""The runs: each with its certificate, its config beside the baseline's, and why it failed."""

from analysis.configs import baseline, differences
from analysis.findings import run_label
from analysis.markup import Html, join, tag
from analysis.material import Material
from analysis.results import Row
from repghost.words import counted

RUNS_OPEN = 12


def runs_section(material: Material) -> Html:
    """Return a line a run that opens; the page shows the same for a chosen point."""
    found = material.found
    rows = [row for variant in found.variants for row in variant.rows]
    other = "its training form" if found.measured_only else "the trained one"
    note = (
        f"Each run with its certificate (how far the deployed network is from {other}) and with"
        f" what its config has that the baseline's has not. The baseline is the first run of the"
        f" command: {run_label(baseline(material.results))}."
    )
    runs = join(_run(material, row, n) for n, row in enumerate(rows))
    if len(rows) > RUNS_OPEN:
        runs = tag("details", tag("summary", f"Show {len(rows)} runs"), runs)
    heading = tag("h2", "Runs and certificates")
    return tag("section", heading, tag("p", note, class_="note"), runs, class_="long")


def _run(material: Material, row: Row, n: int) -> Html:
    words = [
        row.state,
        *([f"{row.objective.label} {row.score:.2f} %"] if row.score is not None else []),
        *([counted(round(row.epochs), "epoch")] if row.epochs is not None else []),
        *([f"{row.seconds:.0f} s"] if row.seconds is not None else []),
        f"run {row.key}",
    ]
    summary = tag("summary", run_label(row), " ", tag("span", " · ".join(words), class_="note"))
    certificate = material.results.certificate(row).strip() or "no certificate.json was written"
    return tag(
        "details",
        summary,
        _why(row),
        tag("h4", "Config beside the baseline"),
        _config(material, row),
        tag("h4", "Certificate"),
        tag("pre", certificate),
        id=f"run-{n}",
    )


def _why(row: Row) -> Html:
    if not row.error.strip():
        return join([])
    return tag("p", row.state, ": ", tag("code", row.error), class_="why")


def _config(material: Material, row: Row) -> Html:
    base = baseline(material.results)
    mine, other = material.configs.get(row.key), material.configs.get(base.key)
    if mine is None or other is None:
        return tag("p", "The config.yaml of this run or of the baseline is missing.", class_="note")
    if row.key == base.key:
        return tag("p", "This is the baseline.", class_="note")
    changed = differences(mine, other)
    if not changed:
        return tag("p", "No difference: the same training.", class_="note")
    head = tag("tr", *(tag("th", name, scope="col") for name in ("key", "baseline", "this run")))
    lines = (tag("tr", *(tag("td", tag("code", part)) for part in line)) for line in changed)
    return tag("table", tag("thead", head), tag("tbody", *lines), class_="diff")
