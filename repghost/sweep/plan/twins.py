"""Combinations of a sweep that come to one training, and switches that cannot act: said at once."""

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace

from rich.console import Console

from repghost.models.spec import Idle
from repghost.settings import Settings
from repghost.sweep.space.points import Point, Value
from repghost.training.spec import DataSpec, RecipeSpec

SAID = 5  # sentences before a sweep starts
NAMED = 4  # values or combinations in a sentence
DIGITS_ALONE = "digits are augmented by shift_px, hflip and random_erasing alone"
OF_BOXES = "images with boxes are changed by hflip, scale_jitter and color_jitter alone"
BUNDLED = "digits are bundled, and scored whole"
UNREAD = {  # by `data.kind`: switches that nothing reads there, and why
    "digits": {
        "recipe.scale_min": DIGITS_ALONE,
        "recipe.color_jitter": DIGITS_ALONE,
        "recipe.scale_jitter": DIGITS_ALONE,
        "recipe.auto_augment": DIGITS_ALONE,
        "data.root": BUNDLED,
        "data.name": BUNDLED,
        "data.crop_pct": BUNDLED,
        "data.decode": BUNDLED,
    },
    "coco": {
        **dict.fromkeys(("recipe.scale_min", "recipe.auto_augment"), OF_BOXES),
        **dict.fromkeys(("recipe.random_erasing", "recipe.shift_px"), OF_BOXES),
        "recipe.label_smoothing": "a detector's losses know no smoothing",
        "data.crop_pct": "images are scored whole",
        "data.decode": "images are read by torchvision",
        "data.name": "instances are read from data.root",
    },
    "folder": {
        "recipe.shift_px": "photographs are cropped at random instead",
        "recipe.scale_jitter": "photographs are cropped at random instead: recipe.scale_min",
    },
}
DEFAULTS: dict[str, DataSpec | RecipeSpec] = {"data": DataSpec(), "recipe": RecipeSpec()}
MACHINES = {  # switches of speed alone
    f"{group}.{item.name}"
    for group, spec in DEFAULTS.items()
    for item in fields(spec)
    if item.metadata.get("machine")
}


@dataclass(frozen=True)
class Twins:
    """Groups of combinations; those of one group come to one training (or to one measurement).

    `keys` are the swept keys in which the members of a group differ. `cause` says why their one key
    cannot act, where that is known; `where` is what all groups have in common, in words.
    """

    keys: tuple[str, ...]
    groups: tuple[tuple[Point, ...], ...]
    cause: Idle | None
    where: str

    @property
    def sentence(self) -> str:
        """What the user should know, in a line."""
        alike = f"{self._members()} are one {_noun(self.groups[0][0])}"
        if self.cause:
            key = self.keys[0]
            return f"{key} cannot act where {self.where} ({self.cause.why}): {alike}"
        return f"where {self.where}: {alike}" if self.where else alike

    def _members(self) -> str:
        members = [point for group in self.groups for point in group]
        if self.cause:
            words = [in_word(point.swept.get(self.keys[0])) for point in members]
        else:
            words = [_in_words(point, self.keys) for point in members]
        return few(list(dict.fromkeys(words)))


def twins_of(points: Sequence[Point]) -> list[Twins]:
    """Return what of a sweep comes to one training: one entry a cause, in the sweep's order."""
    return _twins(points, _trainings(points))


def sentences(points: Sequence[Point]) -> list[str]:
    """Return all that is to be said of a sweep's twins: how many there are, then why."""
    trainings = _trainings(points)
    variants, twins = len({point.row for point in points}), _twins(points, trainings)
    lines = []
    if variants < len(points):
        lines.append(f"{len(points)} combinations are {_different(variants, 'variant')}")
    if len(trainings) < variants:
        lines.append(f"{variants} variants are {_different(len(trainings), _noun(points[0]))}")
    return [*lines, *(found.sentence for found in twins), *_idle_words(points, twins)]


def say_twins(points: Sequence[Point], console: Console, most: int = SAID) -> None:
    """Print which combinations are one variant or one training, in `most` lines."""
    lines = sentences(points)
    if len(lines) > most:
        lines[most - 1 :] = [f"{len(lines) - most + 1} more such lines: plan=true prints them"]
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def trains_as(settings: Settings) -> Hashable:
    """What decides a result: combinations of one value end with the same weights, bit for bit.

    Of one that trains nothing it is the network; how it is timed belongs to both.
    """
    variant = settings.variant
    timed = settings.timed_shape, repr(settings.latency)
    if not variant.recipe.trains:
        return settings.network.trains_as, timed
    unread = {*MACHINES, *(idle.switch for idle in _unread(settings))}
    specs = {"data": variant.data, "recipe": variant.recipe}
    read = tuple(
        value
        for group, spec in specs.items()
        for name, value in vars(spec).items()
        if f"{group}.{name}" not in unread
    )
    return settings.network.trains_as, read, variant.seed, timed


def few(words: Sequence[str], at_most: int = NAMED) -> str:
    """Return words in a row, of many the first ones and how many more there are."""
    more = len(words) - at_most
    return ", ".join([*words[:at_most], *([f"{more} more"] if more > 0 else [])])


def in_word(value: Value) -> str:
    """Return a swept value as it is written on the command line."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _noun(point: Point) -> str:
    return "training" if point.settings.recipe.trains else "network"


def _different(count: int, noun: str) -> str:
    return f"one {noun}" if count == 1 else f"{count} different {noun}s"


def _trainings(points: Sequence[Point]) -> list[tuple[Point, ...]]:
    groups: dict[Hashable, list[Point]] = {}
    for point in points:
        groups.setdefault(trains_as(point.settings), []).append(point)
    return [tuple(group) for group in groups.values()]


def _twins(points: Sequence[Point], trainings: Sequence[tuple[Point, ...]]) -> list[Twins]:
    kinds: dict[Hashable, list[tuple[Point, ...]]] = {}
    for training in trainings:
        for group in _explained(training):
            kinds.setdefault(_kind(group), []).append(group)
    swept = _differing(points)
    return [_joined(groups, swept) for groups in kinds.values()]


def _explained(training: tuple[Point, ...]) -> Iterator[tuple[Point, ...]]:
    """Yield groups that differ in one key; then one of what no such steps lead between."""
    homes = {id(point): {id(point)} for point in training}  # what single steps lead to
    for key in _differing(training):
        steps: dict[Hashable, list[Point]] = {}
        for point in training:
            others = tuple(item for item in point.swept.items() if item[0] != key)
            steps.setdefault(others, []).append(point)
        for group in (tuple(group) for group in steps.values() if len(group) > 1):
            yield group
            home = set.union(*(homes[id(point)] for point in group))
            homes |= dict.fromkeys(home, home)
    apart = {id(home): home for home in homes.values()}
    if len(apart) > 1:
        yield tuple(next(p for p in training if id(p) in home) for home in apart.values())


def _kind(group: tuple[Point, ...]) -> Hashable:
    """What groups have in common that one sentence can speak of."""
    keys = _differing(group)
    if cause := _cause(group, keys):
        return keys, cause
    return keys, tuple(dict.fromkeys(_in_words(point, keys) for point in group))


def _joined(groups: Sequence[tuple[Point, ...]], swept: Sequence[str]) -> Twins:
    keys = _differing(groups[0])
    cause = _cause(groups[0], keys)
    members = [point for group in groups for point in group]
    common = set.intersection(*(set(point.swept.items()) for point in members))
    alike = [key for key, value in members[0].swept.items() if (key, value) in common]
    where = cause.where if cause else _in_words(members[0], [k for k in alike if k in swept])
    return Twins(keys, tuple(groups), cause, where)


def _differing(points: Sequence[Point]) -> tuple[str, ...]:
    first = points[0].swept
    return tuple(key for key in first if any(p.swept.get(key) != first[key] for p in points))


def _in_words(point: Point, keys: Iterable[str]) -> str:
    return " ".join(f"{key}={in_word(point.swept.get(key))}" for key in keys)


def _idle_words(points: Sequence[Point], twins: Sequence[Twins]) -> list[str]:
    """Return a sentence for each switch of a network that is set, cannot act, and has no twin."""
    told = {id(point) for found in twins for group in found.groups for point in group}
    counts: Counter[tuple[Value, Idle]] = Counter()
    for point in {point.row: point for point in points if id(point) not in told}.values():
        model = point.settings.model
        counts.update((getattr(model, idle.switch), idle) for idle in model.idle)
    return [
        f"model.{idle.switch}={in_word(value)} acts as {in_word(idle.acts_as)} where"
        f" model.{idle.where} ({idle.why}): {count} variant{'s' if count > 1 else ''}"
        for (value, idle), count in counts.items()
    ]


def _cause(group: Sequence[Point], keys: tuple[str, ...]) -> Idle | None:
    """Return why the one key in which a group differs cannot act, if a spec says so."""
    if len(keys) != 1:
        return None
    found = (idle for point in group for idle in _idle(point.settings, keys[0]))
    return next((idle for idle in found if idle.switch == keys[0]), None)


def _idle(settings: Settings, key: str) -> Iterator[Idle]:
    for idle in settings.model.idle:
        yield replace(idle, switch=f"model.{idle.switch}", where=f"model.{idle.where}")
    yield from _unread(settings)
    if not settings.recipe.trains and key.partition(".")[0] in (*DEFAULTS, "seed"):
        yield Idle(key, None, "recipe.epochs=0", "nothing is trained")


def _unread(settings: Settings) -> Iterator[Idle]:
    """Yield the switches of data and recipe that nothing reads, whatever they are set to."""
    recipe, kind = settings.recipe, settings.data.kind
    for switch, why in UNREAD[kind].items():
        yield _unread_one(switch, f"data.kind={kind}", why)
    if recipe.warmup_epochs == 0:
        yield _unread_one("recipe.warmup_lr", "recipe.warmup_epochs=0", "there is no warm-up")
    augment = recipe.auto_augment
    if augment and "3a" not in augment and kind == "folder":  # timm's rule
        where = f"recipe.auto_augment={augment}"
        yield _unread_one("recipe.color_jitter", where, "that has colours of its own")


def _unread_one(switch: str, where: str, why: str) -> Idle:
    group, _, name = switch.partition(".")
    return Idle(switch, getattr(DEFAULTS[group], name), where, why)
