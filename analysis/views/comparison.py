"""Two studies side by side: the variants that both have, and what else differs between them."""

from analysis.configs import NOT_SET, common, differences
from analysis.markup import Html, items, tag
from analysis.material import Material
from analysis.texts import MISSING, latency_text, score_text
from analysis.variants import Variant, t95

Place = tuple[tuple[str, str], ...]


def comparison_section(material: Material, other: Material) -> Html:
    """Return the table of shared variants, with what sets the studies apart in sentences."""
    mine, theirs = material.results.study, other.results.study
    pairs = matched(material, other)
    words = [*_apart(material, other), _left_over(material, other, len(pairs))]
    heading = tag("h2", f"Compared with {theirs}")
    if not pairs:
        none = f"No variant of {mine} has the settings of one of {theirs}."
        return tag("section", heading, tag("p", none, class_="note"), items(words))
    score = f"{material.found.objective.label} %"
    names = ("variant", score, f"of {theirs}", "difference", "latency ms", f"of {theirs}", "×")
    head = tag("tr", *(tag("th", name, scope="col") for name in names))
    rows = (tag("tr", *(tag("td", cell) for cell in _cells(a, b))) for a, b in pairs)
    table = tag("table", tag("thead", head), tag("tbody", *rows), id="compared")
    label = f"Variants of {mine} and {theirs}"
    note = (
        f"Differences are those of {mine} minus {theirs}; [ ]: 95 % interval (Welch's t over seeds,"
        " where both have several). A factor is given for latencies of one device, protocol and"
        " reference alone."
    )
    return tag(
        "section",
        heading,
        tag("p", note, class_="note"),
        items(words),
        tag("div", table, class_="scroll", tabindex="0", role="region", aria_label=label),
        class_="long says",
    )


def matched(material: Material, other: Material) -> list[tuple[Variant, Variant]]:
    """Return the variants of equal settings, over all keys that either study swept.

    A key that one of them did not sweep is read from its runs' configs.
    """
    keys = tuple(dict.fromkeys([*material.results.swept, *other.results.swept]))
    theirs = {_place(other, variant, keys): variant for variant in other.found.variants}
    mine = ((_place(material, variant, keys), variant) for variant in material.found.variants)
    return [(variant, theirs[place]) for place, variant in mine if place in theirs]


def _place(material: Material, variant: Variant, keys: tuple[str, ...]) -> Place:
    config = material.configs.get(variant.rows[0].key, {})
    return tuple((key, variant.settings.get(key, config.get(key, NOT_SET))) for key in keys)


def _apart(material: Material, other: Material) -> list[str]:
    """Return what every run of one study has, and every run of the other has otherwise."""
    keys = {*material.results.swept, *other.results.swept, "seed"}
    changed = differences(common(material.configs.values()), common(other.configs.values()))
    lines = [
        f"{key}: {now} here, {before} in {other.results.study}"
        for key, before, now in changed
        if key not in keys and NOT_SET not in (before, now)
    ]
    ours, others = (_commits(one) for one in (material, other))
    if ours != others:
        lines.append(f"commit: {ours} here, {others} in {other.results.study}")
    return lines


def _commits(material: Material) -> str:
    return ", ".join(sorted({row.commit for row in material.results.rows if row.commit})) or MISSING


def _left_over(material: Material, other: Material, shared: int) -> str:
    counts = len(material.found.variants), len(other.found.variants)
    return f"{shared} variants in both; {counts[0]} here, {counts[1]} in {other.results.study}."


def _cells(a: Variant, b: Variant) -> tuple[str, ...]:
    return (
        a.label,
        score_text(a.score),
        score_text(b.score),
        difference_text(a, b),
        latency_text(a.latency),
        latency_text(b.latency),
        _factor(a, b),
    )


def difference_text(a: Variant, b: Variant) -> str:
    """Return "+0.31 [-0.10, +0.72]" of a score in points; no interval with one seed in either."""
    if a.score is None or b.score is None or a.detector != b.detector:
        return MISSING
    value = a.score.mean - b.score.mean
    shares = [(one.std, one.n) for one in (a.score, b.score) if one.std is not None]
    variances = [std**2 / n for std, n in shares]
    if len(variances) < 2 or not sum(variances):
        return f"{value:+.2f}"
    total = sum(variances)
    degrees = total**2 / sum(v**2 / (n - 1) for v, (_, n) in zip(variances, shares, strict=True))
    half = t95(degrees) * total**0.5
    return f"{value:+.2f} [{value - half:+.2f}, {value + half:+.2f}]"


def _factor(a: Variant, b: Variant) -> str:
    one, two = a.latency, b.latency
    if one is None or two is None or one.kin != two.kin or not two.pace:
        return MISSING
    if a.fingerprint and a.fingerprint == b.fingerprint:
        return "1, same graph"
    return f"{one.pace / two.pace:.3f}"
