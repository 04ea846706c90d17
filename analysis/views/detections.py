"""What detectors see: validation images with what is annotated and what was found on them.

Annotated is dashed with its name below, found is solid with name and score above; each line has a
dark rim: they can be told apart, and seen on any image, without colours.
"""

from collections.abc import Sequence

from analysis.examples import Example, Examples, Thing
from analysis.findings import run_label
from analysis.markup import Html, join, tag
from analysis.material import Material
from analysis.svg import px

PICTURES_AT_MOST = 1_200_000  # characters of the report, whatever the number of runs
RUNS_AT_MOST = 6
LETTERS = 22  # lines of text that would fill an image's longer side
LETTER_WIDTH = 0.6  # of its height, about


def detections_section(material: Material) -> Html:
    """Return a block a run that opens, the best first; nothing where no run left any image."""
    seen = {i: one for i, one in material.examples.items() if one.pictures}
    if not seen:
        return Html("")
    blocks: list[Html] = []
    for one in list(seen.values())[:RUNS_AT_MOST]:
        block = _run(one, first=not blocks)
        if blocks and sum(map(len, blocks)) + len(block) > PICTURES_AT_MOST:
            break
        blocks.append(block)
    least = next(iter(seen.values())).least_score
    note = (
        f"A few validation images of each variant's best run. What was found with a score below"
        f" {least:g} is left out."
    )
    more = " Of further runs: examples.json in their folders." if len(seen) > len(blocks) else ""
    parts = (tag("h2", "What the detectors see"), tag("p", note + more, class_="note"), _key())
    return tag("section", *parts, *blocks, class_="long")


def _key() -> Html:
    lines = (("truth", "annotated: dashed, named below"), ("found", "found: solid, named above"))
    chips = (tag("li", _swatch(kind), " ", words) for kind, words in lines)
    return tag("ul", *chips, class_="legend")


def _swatch(kind: str) -> Html:
    ends = {"x1": "2", "y1": "6", "x2": "38", "y2": "6"}
    rim = tag("line", class_="rim", **ends)
    line = tag("line", class_=kind, **ends)
    return tag("svg", rim, line, class_="seen", width="40", height="12", aria_hidden="true")


def _run(one: Examples, *, first: bool) -> Html:
    label, score = one.row.objective.label, one.row.score
    words = f"{label} {score:.2f} % · run {one.row.key}"
    summary = tag("summary", run_label(one.row), " ", tag("span", words, class_="note"))
    pictures = tag("div", *map(_picture, one.pictures), class_="pictures")
    return tag("details", summary, pictures, **({"open": "open"} if first else {}))


def _picture(one: Example) -> Html:
    size = {"width": str(one.width), "height": str(one.height)}
    image = tag("image", href=f"data:image/jpeg;base64,{one.jpeg}", **size)
    letter = max(one.width, one.height) / LETTERS
    things = [("truth", thing) for thing in one.truth] + [("found", thing) for thing in one.found]
    drawn = [part for kind, thing in things for part in _lines(kind, thing)]
    names = [_name(kind, thing, one, letter) for kind, thing in things]
    box = f"0 0 {one.width} {one.height}"
    spoken = f"{one.file}: {_said(one)}"
    attributes = {"viewBox": box, "role": "img", "aria_label": spoken, "class_": "seen"}
    picture = tag("svg", image, *drawn, *names, **attributes)
    return tag("figure", picture, tag("figcaption", spoken))


def _said(one: Example) -> str:
    found = [f"{thing.name} {thing.score:.2f}" for thing in one.found]
    return (
        f"annotated {', '.join(thing.name for thing in one.truth) or 'nothing'};"
        f" found {', '.join(found) or 'nothing'}"
    )


def _lines(kind: str, thing: Thing) -> list[Html]:
    """Return an object's mask and box, each line over its rim."""
    x1, y1, x2, y2 = thing.box
    place = {"x": px(x1), "y": px(y1), "width": px(x2 - x1), "height": px(y2 - y1)}
    parts = [tag("rect", class_="rim", **place), tag("rect", class_=kind, **place)]
    if thing.outlines:
        line = join(map(_path, thing.outlines))
        parts[:0] = [tag("path", d=line, class_="rim"), tag("path", d=line, class_=f"{kind} mask")]
    return parts


def _path(outline: Sequence[float]) -> Html:
    corners = zip(outline[::2], outline[1::2], strict=True)
    return Html(f"M{'L'.join(f'{x:g},{y:g}' for x, y in corners)}Z")


def _name(kind: str, thing: Thing, one: Example, letter: float) -> Html:
    """Return an object's name, inside the image: above its box where found, else below it."""
    said = thing.name if thing.score is None else f"{thing.name} {thing.score:.2f}"
    x1, y1, _, y2 = thing.box
    y = y1 - letter / 4 if kind == "found" else y2 + letter
    x = min(x1, one.width - LETTER_WIDTH * letter * len(said))
    place = {"x": px(max(0.0, x)), "y": px(min(max(y, letter), one.height - letter / 4))}
    style = f"font-size:{px(letter)}px;stroke-width:{px(letter / 4)}px"
    return tag("text", said, class_=f"name {kind}", style=style, **place)
