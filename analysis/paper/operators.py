"""Table 1 and Figure 2: GhostNet's 32 concatenations against adds of the same tensors."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.paper.intervals import difference, quotient
from analysis.paper.measured import chosen_devices
from repghost.latency.operators import Operator
from repghost.latency.profile import Group, Profile, read_profiles
from repghost.latency.statistics import Interval
from repghost.models.repghost_spec import GhostNetSpec

COMMAND = "python launch.py -m +sweeps=table1"
MODULES = 32  # Ghost modules of GhostNet 1.0x, each with one of the operators
NETWORKS = {reuse: GhostNetSpec(reuse=reuse).describe() for reuse in ("concat", "add")}


@dataclass(frozen=True)
class Pair:
    """GhostNet 1.0x with concatenations and with adds at one batch size, on one device.

    `together`: profiled in the same rounds, so that they are compared round by round.
    """

    batch: int
    concat: Profile
    add: Profile
    together: bool

    @property
    def groups(self) -> tuple[Group, Group]:
        """The 32 concatenations and the 32 adds."""
        return self.concat.group("concat", is_concat), self.add.group("add", is_add)

    @property
    def ratio(self) -> Interval:
        """The time of the concatenations over that of the adds."""
        if self.together:
            return self.concat.interval(self.concat.select(is_concat) / self.add.select(is_add))
        concat, add = self.groups
        return quotient(concat.ms, add.ms)

    @property
    def share_difference(self) -> Interval:
        """The share of the concatenations less that of the adds, 0 to 1, each of its network."""
        if self.together:
            concat = self.concat.select(is_concat) / self.concat.all_ms
            return self.concat.interval(concat - self.add.select(is_add) / self.add.all_ms)
        one, other = self.groups
        return difference(one.share, other.share)

    @property
    def again_ms(self) -> Interval:
        """The time in which MNN builds concatenations a second time, not counted with the 32."""
        return self.concat.group("again", is_concat_again).ms


def is_concat(operator: Operator) -> bool:
    """Say if an operator writes what a Ghost module concatenates, (N, C, H, W)."""
    return operator.kind == "Raster concat" and len(operator.output_shape) == 4


def is_concat_again(operator: Operator) -> bool:
    """Say if it writes the same once more in another shape, for the mean of an SE block."""
    return operator.kind == "Raster concat" and len(operator.output_shape) != 4


def is_add(operator: Operator) -> bool:
    """Say if an operator is the add of a Ghost module, and not that of a shortcut."""
    last = operator.layer.rpartition(".")[2]
    return operator.kind == "BinaryOp add" and last.startswith("ghost")


def operator_pairs(outputs: Path, wanted: str | None) -> tuple[dict[str, list[Pair]], list[str]]:
    """Return each device's pairs by batch size, and what was left out, in sentences.

    Raises:
        ValueError: nothing below `outputs`/profiles has both networks, or not on this device.
    """
    files, notes = _read_all(sorted((outputs / "profiles").rglob("*.json")))
    pairs = {device: found for device, found in _by_device(files).items() if found}
    if not pairs:
        told = "".join(f"\n{note}" for note in notes)
        raise ValueError(
            f"no operator profiles of {' and '.join(NETWORKS.values())} (224 pixels, the same batch"
            f" size) below {outputs / 'profiles'}; measure them with: {COMMAND}{told}"
        )
    return {name: pairs[name] for name in chosen_devices(pairs, wanted)}, notes


def _read_all(paths: Iterable[Path]) -> tuple[list[list[Profile]], list[str]]:
    """Return the profiles of the two networks file by file, and what is wrong with others."""
    files: list[list[Profile]] = []
    notes: list[str] = []
    for path in paths:
        try:
            found = [one for one in read_profiles(path) if _is_ours(one)]
        except ValueError as error:
            notes.append(f"left out: {error}")
            continue
        odd = [one for one in found if _count(one) != MODULES]
        notes += [
            f"left out: {path}: {one.network} has {_count(one)} such operators, not {MODULES}"
            for one in odd
        ]
        files.append([one for one in found if one not in odd])
    return files, notes


def _is_ours(one: Profile) -> bool:
    return one.network in NETWORKS.values() and one.input_shape[1:] == (3, 224, 224)


def _count(one: Profile) -> int:
    chosen: Callable[[Operator], bool] = is_add if one.network == NETWORKS["add"] else is_concat
    return sum(map(chosen, one.operators))


def _by_device(files: Sequence[Sequence[Profile]]) -> dict[str, list[Pair]]:
    names = sorted({one.device for file in files for one in file})
    return {
        name: _pairs([[one for one in file if one.device == name] for file in files])
        for name in names
    }


def _pairs(files: Sequence[Sequence[Profile]]) -> list[Pair]:
    """Return a pair a batch size: the newest of one file, else the newest of each network."""
    everything = [one for file in files for one in file]
    pairs = []
    for batch in sorted({one.input_shape[0] for one in everything}):
        together = [pair for file in files if (pair := _pair(batch, file, True))]
        pair = max(together, key=lambda p: p.concat.measured_at, default=None)
        pair = pair or _pair(batch, everything, False)
        pairs += [pair] if pair else []
    return pairs


def _pair(batch: int, profiles: Sequence[Profile], together: bool) -> Pair | None:
    newest: dict[str, Profile] = {}
    for one in sorted(profiles, key=lambda one: one.measured_at):
        if one.input_shape[0] == batch:
            newest[one.network] = one
    concat, add = (newest.get(name) for name in NETWORKS.values())
    if concat is None or add is None:
        return None
    return Pair(batch, concat, add, together and concat.rounds == add.rounds)
