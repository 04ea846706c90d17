"""Where the time goes: one or two networks timed operator by operator; needs MNN, not torch."""

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from repghost.atomic import read_json, write_text
from repghost.deploy.runtime import OperatorInfo, OperatorTimes, Shape
from repghost.latency.devices.contract import Device
from repghost.latency.operators import Operator, described
from repghost.latency.protocol import Sampler
from repghost.latency.record import DeviceState
from repghost.latency.statistics import Interval, median_interval
from repghost.provenance import commit

Array = NDArray[np.float64]
Samples = NDArray[np.float32]
Chosen = Callable[[Operator], bool]
ROUNDS = 100
FEWEST_ROUNDS = 10
SEED = 0
NS = 1e6  # in a millisecond; samples are kept as whole nanoseconds
TIMES = ("samples_ms", "plain_ms", "callbacks_ms")


@runtime_checkable
class ProfiledNetwork(Protocol):
    """A network on a device that can tell the time of each of its operators."""

    @property
    def input_shape(self) -> Shape: ...

    def time_ms(self, runs: int, settle: int = 0) -> float: ...

    def operators(self) -> list[OperatorInfo]: ...

    def time_operators(self, runs: int) -> OperatorTimes: ...


class Subject(NamedTuple):
    """A network to be profiled: the name to show, its `.mnn` file, its graph if known."""

    name: str
    mnn_path: Path
    fingerprint: str | None = None


@dataclass(frozen=True)
class Group:
    """The accumulated time of some operators, and their share of the time of all, 0 to 1."""

    name: str
    count: int
    ms: Interval
    share: Interval


class Overhead(NamedTuple):
    """What the callbacks cost: of a plain run's time, 0 to 1; and per operator in microseconds.

    `inside_us` is the part that lies within the operators' own times, which it makes longer.
    """

    share: Interval
    per_operator_us: Interval
    inside_us: Interval


@dataclass(frozen=True, eq=False)
class Profile:
    """The times of a network's operators over rounds, nothing subtracted, with their evidence.

    `samples_ms` is `(rounds, operators)`; `plain_ms` `(rounds,)` are runs without callbacks in the
    same rounds, `callbacks_ms` `(rounds,)` the runs with them that gave the samples. A sample is
    the mean of `runs_per_sample` runs.
    """

    network: str
    fingerprint: str | None
    input_shape: Shape
    operators: tuple[Operator, ...]
    samples_ms: Samples
    plain_ms: Samples
    callbacks_ms: Samples
    runs_per_sample: int
    seed: int
    device: str
    mnn_version: str
    device_state: DeviceState
    commit: str
    measured_at: str  # UTC, ISO 8601

    @property
    def rounds(self) -> int:
        """The number of rounds, which is that of the samples of each operator."""
        return len(self.plain_ms)

    @property
    def total_ms(self) -> float:
        """The median time of a run without callbacks."""
        return float(np.median(self.plain_ms))

    @property
    def with_callbacks_ms(self) -> float:
        """The median time of a run with callbacks."""
        return float(np.median(self.callbacks_ms))

    @property
    def operators_ms(self) -> Array:
        """The median time of each operator `(operators,)`."""
        return np.asarray(np.median(self.samples_ms, axis=0), dtype=np.float64)

    @cached_property
    def all_ms(self) -> Array:
        """The sum of the operators' times in each round `(rounds,)`; shares are shares of it."""
        return np.asarray(self.samples_ms.sum(axis=1, dtype=np.float64))

    @cached_property
    def overhead(self) -> Overhead:
        """What the callbacks cost, round by round."""
        plain, n = self.plain_ms.astype(np.float64), len(self.operators)
        return Overhead(
            share=self.interval(self.callbacks_ms / plain - 1),
            per_operator_us=self.interval((self.callbacks_ms - plain) / n * 1e3),
            inside_us=self.interval((self.all_ms - plain) / n * 1e3),
        )

    def select(self, chosen: Chosen) -> Array:
        """Return the accumulated time in ms of the chosen operators in each round `(rounds,)`."""
        columns = [i for i, operator in enumerate(self.operators) if chosen(operator)]
        return np.asarray(self.samples_ms[:, columns].sum(axis=1, dtype=np.float64))

    def group(self, name: str, chosen: Chosen) -> Group:
        """Return the chosen operators' accumulated time and share under a name; may be none."""
        times, count = self.select(chosen), sum(map(chosen, self.operators))
        return Group(name, count, self.interval(times), self.interval(times / self.all_ms))

    def groups(self, key: Callable[[Operator], str]) -> list[Group]:
        """Return the operators grouped by `key`, such as their kind, the slowest group first."""

        def named(name: str) -> Group:
            return self.group(name, lambda operator: key(operator) == name)

        groups = map(named, dict.fromkeys(map(key, self.operators)))
        return sorted(groups, key=lambda group: -group.ms.value)

    def interval(self, samples: Array) -> Interval:
        """Return the median of a value a round `(rounds,)` with its 95 % interval."""
        return median_interval(samples.astype(np.float64), np.random.default_rng(self.seed))

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can hold; times are in whole nanoseconds, the samples a list a round."""
        times = {f"{name.removesuffix('_ms')}_ns": _ns(getattr(self, name)) for name in TIMES}
        facts = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in TIMES}
        return facts | {"operators": [o.as_dict() for o in self.operators]} | times

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Return the profile that `as_dict` wrote, times equal to the nanosecond.

        Raises:
            ValueError: the dictionary is not that of a profile.
        """
        known = {f.name for f in fields(cls)}
        try:
            times = {name: _ms(values[f"{name.removesuffix('_ms')}_ns"]) for name in TIMES}
            operators = tuple(Operator.from_dict(one) for one in values["operators"])
            facts = {name: value for name, value in values.items() if name in known}
            shape = tuple(values["input_shape"])
            return cls(**(facts | times | {"operators": operators, "input_shape": shape}))
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a profile: {error}") from error


def profile(
    subjects: Sequence[Subject],
    device: Device,
    rounds: int = ROUNDS,
    seed: int = SEED,
    on_round: Callable[[int], None] = lambda done: None,
    max_seconds: float = math.inf,
    clock: Callable[[], float] = time.monotonic,
) -> list[Profile]:
    """Time the operators of each network in rounds, interleaved; return a profile a network.

    In each round every network, loaded anew, is run plainly and with callbacks, all in random
    order: what disturbs a round disturbs all of it, so that the profiles can be compared round by
    round. After `max_seconds` no further round is begun, but at least 10 are taken. Meanwhile the
    device is entered: the local one pins the calling thread.

    Raises:
        ValueError: `rounds` is below 1, there is no network, a file is missing or cannot be loaded,
            or the device cannot tell the time of an operator.
    """
    if rounds < 1:
        raise ValueError(f"rounds={rounds}: must be a whole number of at least 1")
    if not subjects:
        raise ValueError("there is no network to profile")
    order = np.random.default_rng(seed)
    with device:
        takers = [_Taker(subject, device) for subject in subjects]
        end = clock() + max_seconds
        for done in range(rounds):
            if done >= FEWEST_ROUNDS and clock() > end:
                break
            networks = {i: takers[i].load() for i in order.permutation(len(takers)).tolist()}
            for i in order.permutation(len(takers)).tolist():
                takers[i].take(networks[i], order)
            on_round(done + 1)
        state = device.state()
    return [taker.profile(device, state, seed) for taker in takers]


def write_profiles(path: Path, profiles: Sequence[Profile]) -> None:
    """Write profiles of the same rounds as one JSON file, whole or not at all."""
    values = {"profiles": [one.as_dict() for one in profiles]}
    write_text(path, json.dumps(values, separators=(",", ":"), allow_nan=False) + "\n")


def read_profiles(path: Path) -> list[Profile]:
    """Return the profiles of a JSON file.

    Raises:
        ValueError: the file is missing or holds no profiles.
    """
    values = read_json(path)
    if values is None or not isinstance(values.get("profiles"), list):
        raise ValueError(f"{path}: no file of operator profiles")
    return [Profile.from_dict(one) for one in values["profiles"]]


class _Taker:
    """Takes the samples of one network, always at its steady state, and keeps them."""

    def __init__(self, subject: Subject, device: Device) -> None:
        self.subject, self.device = subject, device
        network = self.load()
        self.sampler = Sampler(self.load)
        self.infos, self.input_shape = network.operators(), network.input_shape
        self.plain_ms: list[float] = []
        self.timed: list[OperatorTimes] = []

    def load(self) -> ProfiledNetwork:
        network = self.device.load(self.subject.mnn_path)
        if not isinstance(network, ProfiledNetwork):
            raise ValueError(f"device={self.device.name}: it cannot tell the time of an operator")
        return network

    def take(self, network: ProfiledNetwork, order: np.random.Generator) -> None:
        """Add a plain sample and one with callbacks, in random order, at a steady state."""
        self.sampler.settle(network)
        for with_callbacks in order.permutation(2).tolist():
            if with_callbacks:
                network.time_operators(self.sampler.runs)  # untimed: the callbacks settle, too
                self.timed.append(network.time_operators(self.sampler.runs))
            else:
                self.plain_ms.append(self.sampler.timed_ms(network))

    def profile(self, device: Device, state: DeviceState, seed: int) -> Profile:
        return Profile(
            network=self.subject.name,
            fingerprint=self.subject.fingerprint,
            input_shape=self.input_shape,
            operators=described(self.infos),
            samples_ms=_ms(_ns(np.array([times.operators_ms for times in self.timed]))),
            plain_ms=_ms(_ns(np.array(self.plain_ms))),
            callbacks_ms=_ms(_ns(np.array([times.run_ms for times in self.timed]))),
            runs_per_sample=self.sampler.runs,
            seed=seed,
            device=device.profile,
            mnn_version=device.mnn_version,
            device_state=state | {"warmed_up": self.sampler.warmed_up},
            commit=commit(),
            measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )


def _ns(times_ms: NDArray[Any]) -> list[Any]:
    return cast(list[Any], np.rint(times_ms.astype(np.float64) * NS).astype(np.int64).tolist())


def _ms(times_ns: Sequence[Any]) -> Samples:
    return (np.array(times_ns, dtype=np.float64) / NS).astype(np.float32)
