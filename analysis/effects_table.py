"""Effects in the terminal: one table for the keys, one for how they change each other."""

from collections.abc import Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from analysis.effects import Effect, Quotient, interaction_effects, main_effects
from analysis.inference import BOOTSTRAP, BOOTSTRAP_SEEDS, Mean
from analysis.printing import ROOMY, titled_table
from analysis.results import Results
from analysis.texts import MISSING
from repghost.objective import in_common

INTERACTIONS_SHOWN = 20
VERDICT_STYLES = {"better": "green", "faster": "green", "worse": "red", "slower": "red"}


def effects_summary(results: Results, width: int) -> list[RenderableType]:
    """Return what `effects` prints, top to bottom; nothing in it is read as markup."""
    mains, crossed = main_effects(results), interaction_effects(results)
    if not mains:
        return [Text(_nothing(results))]
    shown = crossed[:INTERACTIONS_SHOWN]
    parts: list[RenderableType] = [_table(f"{results.study}: effects", mains, width)]
    if shown:
        parts.append(
            _table("interactions: how the first step changes with the second", shown, width)
        )
    more = len(crossed) - len(shown)
    if more > 0:
        parts.append(Text(f"and {more} more interactions, none surer; --json has them all"))
    return [*parts, Text("\n".join(legend_lines([*mains, *crossed])), style="dim")]


def legend_lines(effects: Sequence[Effect]) -> list[str]:
    """Return what the columns mean, and what the numbers do not say."""
    lines = [
        f"{label_of(effects)}: paired difference in points, second value minus first, at equal"
        " other settings and seed; positive is better",
        _interval_words(effects),
        f"p (Holm): Student's t over seeds, adjusted for the {_tested(effects)} tests of its"
        " table; a tie after Holm is one that chance explains among so many",
        "latency: factor from the first value to the second (of two factors in an interaction);"
        " its interval is that of the measurements, not of other networks",
    ]
    if any(one.score and one.score.n == 1 for one in effects):
        lines.append(f"1 seed: there is no interval for {label_of(effects)}; seed=0,1,2 gives one")
    left_out = sum(one.left_out for one in effects)
    if left_out:
        lines.append(f"{left_out} pairs left out: their counterpart in another seed is missing")
    return lines


def _interval_words(effects: Sequence[Effect]) -> str:
    boots = any(one.score and one.score.method == BOOTSTRAP for one in effects)
    t_words = f"Student's t over seeds (under {BOOTSTRAP_SEEDS} a bootstrap covers too rarely)"
    words = "a bootstrap over seeds, widened as Student's t is" if boots else t_words
    return f"[ ]: 95 % interval, {words}; the seed is what varies, not the pair"


def _tested(effects: Sequence[Effect]) -> str:
    mains = [sum(len(one.keys) == k and one.holm_p is not None for one in effects) for k in (1, 2)]
    return " or ".join(str(count) for count in mains if count) or "0"


def _nothing(results: Results) -> str:
    if not results.swept:
        return f"{results.study}: no key was swept but the seed; there is no effect to speak of"
    return (
        f"{results.study}: no two variants differ in one key alone"
        f" ({', '.join(results.swept)}); a grid has such pairs"
    )


def label_of(effects: Sequence[Effect]) -> str:
    """Return what the effects are on, beside latency."""
    return in_common(one.objective for one in effects).label


def headings(effects: Sequence[Effect]) -> tuple[str, ...]:
    """Return the names of what `cells` gives."""
    says = "p (Holm)", "says", "latency", "says"
    return ("step", "seeds x pairs", label_of(effects), *says)


def _table(title: str, effects: Sequence[Effect], width: int) -> Table:
    table = titled_table(title, roomy=width >= ROOMY)
    for n, heading in enumerate(headings(effects)):
        table.add_column(
            Text(heading),
            justify="right" if n in (1, 2, 3, 5) else "left",
            vertical="top",
            overflow="fold",
            no_wrap=n in (2, 3, 5),
        )
    for effect in effects:
        table.add_row(*(_cell(text, width) for text in cells(effect)))
    return table


def cells(effect: Effect) -> tuple[str, ...]:
    """Return an effect as text."""
    seeds = f"{effect.score.n} x {effect.blocks}" if effect.score else MISSING
    p = MISSING if effect.holm_p is None else f"{effect.holm_p:.3f}"
    says = effect.latency.verdict if effect.latency else MISSING
    return (
        effect.name,
        seeds,
        points_text(effect.score),
        p,
        effect.verdict,
        factor_text(effect.latency),
        says,
    )


def points_text(mean: Mean | None) -> str:
    """Return "+0.31 [-0.10, +0.72]", without an interval the mean alone."""
    if mean is None:
        return MISSING
    if mean.interval is None:
        return f"{mean.value:+.2f}"
    return f"{mean.value:+.2f} [{mean.interval[0]:+.2f}, {mean.interval[1]:+.2f}]"


def factor_text(quotient: Quotient | None) -> str:
    """Return "x1.023 [1.010, 1.036]", "x1" for one graph."""
    if quotient is None:
        return MISSING
    if quotient.same_graph:
        return "x1"
    if quotient.interval is None:
        return f"x{quotient.value:.3f}"
    return f"x{quotient.value:.3f} [{quotient.interval[0]:.3f}, {quotient.interval[1]:.3f}]"


def _cell(text: str, width: int) -> Text:
    folded = text if width >= ROOMY else text.replace(" [", "\n[")
    return Text(folded, style=VERDICT_STYLES.get(text, ""))
