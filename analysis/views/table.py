"""The table of all variants: filters above it, headings that sort, a button for CSV."""

from analysis.columns import ON_FRONT, Column, columns
from analysis.devices import flag_words
from analysis.figures import varying
from analysis.findings import Findings
from analysis.markup import Html, items, join, tag
from analysis.material import Material
from analysis.results import STATES
from analysis.texts import MISSING
from analysis.tradeoff import standing_text
from analysis.variants import short_names

STAR = "★"
CHOICES_AT_MOST = 40
ROOMY_AT_MOST = 11  # columns of a table with much room between them
_STYLES = {ON_FRONT: "star", "twins": "short", "state": "short", "chance": "chance"}
CHANCE = "chance to be on the front when all points are drawn anew from their intervals"


def variants_table(material: Material) -> Html:
    """Return the section with filters, table and what makes latencies doubtful."""
    results, found = material.results, material.found
    shown = [*columns(results, found, ratios=True), *_chance_column(material)]
    if results.devices or material.standings:  # many columns: each as narrow as it can be
        shown = [column.folded if column.numeric else column for column in shown]
    opener = next((c for c in shown if not c.numeric and c.name != ON_FRONT), shown[0])
    head = tag("tr", *(_heading_cell(column) for column in shown))
    rows = [_row(material, shown, opener, i) for i in range(len(found.variants))]
    many = results.devices or results.detects
    room = "wide" if many else "tight" if len(shown) > ROOMY_AT_MOST else ""
    table = tag("table", tag("thead", head), tag("tbody", *rows), id="variants", class_=room)
    notes = [f"{_heading(c)}: {c.meaning}" for c in shown if c.explained]
    return tag(
        "section",
        tag("h2", "All variants"),
        tag("p", "; ".join(notes) + ".", class_="note"),
        _filters(material),
        tag("div", table, class_="scroll", tabindex="0", role="region", aria_label="All variants"),
        _doubts(found),
        class_="long",
    )


def _filters(material: Material) -> Html:
    """Return the filters; what they leave is what table, figures and CSV show."""
    keys = varying(material.found.variants)
    names = short_names(list(keys))
    picks = [
        _field(names[key], tag("select", *_options(values), data_key=key))
        for key, values in keys.items()
        if len(values) <= CHOICES_AT_MOST
    ]
    bounds = [_field("latency ms at most", _number("latency"))]
    if not material.found.measured_only:
        bounds.append(_field(f"{material.found.objective.label} % at least", _number("score")))
    search = tag("input", type="search", data_bound="words", autocomplete="off")
    buttons = [
        tag("button", "Show all", type="button", id="show-all"),
        tag("button", "Download CSV", type="button", id="csv"),
    ]
    count = tag("output", "", id="count", aria_live="polite")
    fields = [_field("words", search), *picks, *bounds, *buttons, count]
    return tag("form", *fields, id="filters", aria_label="Filter the variants")


def _options(values: list[str]) -> list[Html]:
    first = tag("option", "all", value="")
    # A value may be empty itself: what is sent is its place in the list.
    return [first, *(tag("option", text or '""', value=str(n)) for n, text in enumerate(values))]


def _number(bound: str) -> Html:
    return tag("input", type="number", step="any", min="0", data_bound=bound)


def _field(name: str, control: Html) -> Html:
    return tag("label", tag("span", name), control)


def _chance_column(material: Material) -> list[Column]:
    if not material.standings:
        return []
    shown = (material.standings.get(i) for i in range(len(material.found.variants)))
    cells = tuple(MISSING if one is None else standing_text(one) for one in shown)
    plain = tuple(cell.replace(", chance ", "\n") for cell in cells)
    return [Column("chance", CHANCE, plain, numeric=False, explained=True)]


def _row(material: Material, shown: list[Column], opener: Column, i: int) -> Html:
    cells = [_cell(column, i, opens=column is opener) for column in shown]
    return tag("tr", *cells, class_=_row_class(material.found, i), data_variant=str(i))


def _row_class(found: Findings, i: int) -> str:
    state = found.variants[i].state
    return "front" if i in found.front else state if state in STATES else ""


def _heading(column: Column) -> str:
    return STAR if column.name == ON_FRONT else column.name


def _heading_cell(column: Column) -> Html:
    style = "number" if column.numeric else _STYLES.get(column.name, "name")
    kind = "number" if column.numeric else "text"
    sorter = tag("button", _heading(column), type="button", class_="sort", data_kind=kind)
    return tag("th", sorter, class_=style, title=column.meaning, scope="col")


def _cell(column: Column, i: int, *, opens: bool) -> Html:
    style = "number" if column.numeric else _STYLES.get(column.name, "name")
    text = column.cells[i]
    if column.name == ON_FRONT:
        text = STAR if text else ""
    if opens:
        return tag("td", tag("button", text or '""', type="button", class_="open"), class_=style)
    return tag("td", text, class_=style)


def _doubts(found: Findings) -> Html:
    words = flag_words(found.variants)
    if not words:
        return join([])
    heading = tag("h3", "Doubtful latencies")
    return tag("div", heading, items(words), class_="doubts")
