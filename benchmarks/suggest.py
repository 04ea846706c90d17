"""How long the next suggestion of a search takes: ours beside Optuna's TPE on the same history.

    python -m benchmarks.suggest               about a minute on two cores
    python -m benchmarks.suggest --rounds 10 --sampler nsga2

One round is one ask + tell of each, in turn. Optuna's plain way, multivariate TPE over the whole
history, is given that history in memory, where it is fastest. Goal: ask + tell under 25 ms at
10,000 trials. `start` is how long ours takes from the history to its first suggestion.
"""

import argparse
import json
import math
import random
import statistics
import time
from collections.abc import Callable, Mapping

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import TPESampler
from optuna.trial import create_trial
from rich.console import Console
from rich.table import Table

from repghost.provenance import commit
from repghost.sweep.space.dimensions import Choice, Interval
from repghost.sweep.space.exclude import Scalar
from repghost.sweep.space.points import SAMPLERS, SamplerSpec
from repghost.sweep.space.suggest import Score, Suggester

SIZES = (100, 1_000, 10_000)
GOAL_MS = 25.0
BRANCHES = ("none", "bn", "id", "dconv", "bn+id")
SPACE = (
    Choice("model.reparam", [(name, name) for name in BRANCHES]),
    Interval("model.width", 0.25, 2.0),
    Interval("model.kernel", 3, 7, integer=True, step=2),
    Interval("recipe.lr", 1e-3, 1.0, log=True),
    Interval("recipe.weight_decay", 1e-6, 1e-3, log=True),
    Interval("recipe.dropout", 0.0, 0.5),
)
OPTUNAS: dict[str, BaseDistribution] = {
    "model.reparam": CategoricalDistribution(BRANCHES),
    "model.width": FloatDistribution(0.25, 2.0),
    "model.kernel": IntDistribution(3, 7, step=2),
    "recipe.lr": FloatDistribution(1e-3, 1.0, log=True),
    "recipe.weight_decay": FloatDistribution(1e-6, 1e-3, log=True),
    "recipe.dropout": FloatDistribution(0.0, 0.5),
}
Step = Callable[[], None]


def main() -> None:
    """Print the table, then the figures as one JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=60, help="asks of each at each size")
    parser.add_argument("--sampler", choices=SAMPLERS, default="tpe", help="which of ours")
    arguments = parser.parse_args()
    table = Table("trials", "ours, ms", "p95", "Optuna's TPE, ms", "p95", "start, s")
    table.title = f"ask + tell, {arguments.sampler}, 6 dimensions, commit {commit()}"
    figures: dict[str, float | str | bool] = {}
    for size in SIZES:
        row = _compare(size, arguments.sampler, arguments.rounds)
        table.add_row(f"{size:,}", *(f"{value:.2f}" for value in row.values()))
        figures |= {f"{name}_{size}": round(value, 3) for name, value in row.items()}
    Console(width=100).print(table)
    figures |= {"goal_met": float(figures[f"ours_ms_{SIZES[-1]}"]) < GOAL_MS, "commit": commit()}
    print(json.dumps(figures | {"sampler": arguments.sampler, "rounds": arguments.rounds}))


def _compare(size: int, sampler: str, rounds: int) -> dict[str, float]:
    rng = random.Random(size)
    history = [_point(rng) for _ in range(size)]
    start = time.perf_counter()
    ours = _ours(history, sampler)
    ours()
    start_s = time.perf_counter() - start
    plain = _plain(history)
    plain()
    times: dict[str, list[float]] = {"ours": [], "plain": []}
    for _ in range(rounds):
        for name, step in (("ours", ours), ("plain", plain)):
            begun = time.perf_counter()
            step()
            times[name].append(1000 * (time.perf_counter() - begun))
    row: dict[str, float] = {}
    for name, ms in times.items():
        row |= {f"{name}_ms": statistics.median(ms)}
        row |= {f"{name}_p95_ms": statistics.quantiles(ms, n=20)[-1]}
    return row | {"start_s": start_s}


def _ours(history: list[dict[str, Scalar]], sampler: str) -> Step:
    suggester = Suggester(SPACE, SamplerSpec(sampler))
    for point in history:
        suggestion = suggester.adopt(point)
        assert suggestion is not None
        suggester.tell(suggestion, Score(*_measured(point)))

    def step() -> None:
        suggestion = suggester.ask()
        suggester.tell(suggestion, Score(*_measured(suggestion.values)))

    return step


def _plain(history: list[dict[str, Scalar]]) -> Step:
    sampler = TPESampler(multivariate=True, seed=0)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    study.add_trials(
        create_trial(params=dict(point), distributions=OPTUNAS, values=_measured(point))
        for point in history
    )

    def step() -> None:
        trial = study.ask(OPTUNAS)
        study.tell(trial, _measured(trial.params))

    return step


def _point(rng: random.Random) -> dict[str, Scalar]:
    return {
        "model.reparam": rng.choice(BRANCHES),
        "model.width": rng.uniform(0.25, 2.0),
        "model.kernel": rng.choice((3, 5, 7)),
        "recipe.lr": 10 ** rng.uniform(-3, 0),
        "recipe.weight_decay": 10 ** rng.uniform(-6, -3),
        "recipe.dropout": rng.uniform(0.0, 0.5),
    }


def _measured(point: Mapping[str, Scalar]) -> tuple[float, float]:
    """A top-1 in % and a latency in ms that a network might have."""
    width, lr = float(point["model.width"] or 0), float(point["recipe.lr"] or 0)
    slower = 1 + 0.1 * (float(point["model.kernel"] or 0) - 3)
    lost = 2 * (math.log10(lr) + 1) ** 2 + 5 * abs(float(point["recipe.dropout"] or 0) - 0.2)
    return 80 * (1 - math.exp(-2 * width)) - lost, 3 * width**1.7 * slower


if __name__ == "__main__":
    main()
