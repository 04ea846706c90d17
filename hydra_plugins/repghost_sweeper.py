"""The sweepers that `conf/hydra/sweeper/*.yaml` name; they only call repghost.sweep.

Hydra imports this module at every start: nothing heavy at module level.
"""

from __future__ import annotations

import functools
import shlex
import sys
from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, ListConfig

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

    from repghost.settings import Settings
    from repghost.sweep.space.compose import Composer
    from repghost.sweep.space.points import Point, Space

LISTED = 1000  # combinations of a search that a plan still lists


class StudySweeper(Sweeper):
    """What both have in common: the overrides of file and command line become one study.

    `params` (key: values), `variants` (name: overrides) and `exclude` (expressions) are what a file
    of `sweeps/` adds.
    """

    def __init__(self, params: DictConfig, variants: DictConfig, exclude: ListConfig | str) -> None:
        super().__init__()
        self.params, self.variants = params, variants
        self.exclude = [exclude] if isinstance(exclude, str) else list(map(str, exclude))

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self.hydra_context, self.config = hydra_context, config

    def sweep(self, arguments: list[str]) -> Any:
        """Run the sweep and leave with its exit code."""
        from hydra.core.override_parser.overrides_parser import OverridesParser
        from rich.console import Console

        from repghost.sweep.jobs.launchers import launcher_from
        from repghost.sweep.space.compose import Composer

        assert self.hydra_context is not None and self.config is not None
        loader = self.hydra_context.config_loader
        parser = OverridesParser.create(config_loader=loader)
        planned = [f"{key!s}={text}" for key, text in self.params.items()]
        self.place = launcher_from(self.config.hydra.launcher)
        self.console = Console()
        space = self.space(parser.parse_overrides(arguments), parser.parse_overrides(planned))
        composer = Composer(functools.partial(loader.load_sweep_config, self.config))
        sys.exit(self.run(space, composer, self._command(arguments)))

    @abstractmethod
    def space(self, given: Sequence[Override], planned: Sequence[Override]) -> Space:
        """Return what is swept."""

    @abstractmethod
    def run(self, space: Space, composer: Composer, command: str) -> int:
        """Plan or run it, and return the exit code."""

    def plan(self, points: Sequence[Point], study: str) -> int:
        """Print what would be done, and return the exit code."""
        from repghost.sweep.jobs.launchers import SlurmSpec
        from repghost.sweep.plan.plan import print_plan

        slots = self.place.array_parallelism if isinstance(self.place, SlurmSpec) else None
        return print_plan(points, study, self.console, slots=slots)

    def named_variants(self) -> dict[str, str]:
        """Return the combinations with a name."""
        return {str(name): str(text) for name, text in self.variants.items()}

    def say(self, line: str) -> None:
        """Print a line as it is."""
        self.console.print(line, markup=False, soft_wrap=True)

    def _command(self, arguments: list[str]) -> str:
        """Return what the user typed, Hydra's own keys included: it is to be run again."""
        assert self.config is not None
        hydras = [
            word for word in self.config.hydra.overrides.hydra if word != "hydra.mode=MULTIRUN"
        ]
        return shlex.join(["python", "launch.py", "-m", *arguments, *hydras])


class GridSweeper(StudySweeper):
    """The product of all swept values, run as one study."""

    def space(self, given: Sequence[Override], planned: Sequence[Override]) -> Space:
        from repghost.sweep.space.points import parse_grid

        return parse_grid(given, planned, self.named_variants(), self.exclude)

    def run(self, space: Space, composer: Composer, command: str) -> int:
        from repghost.sweep.command import sweep

        points = space.points(composer, self.say)
        base = points[0].settings
        if base.n_trials is not None:
            raise ValueError(
                f"n_trials={base.n_trials}: a grid runs every combination;"
                " leave it out, or search with hydra/sweeper=search"
            )
        study = _study(base, space)
        if base.plan:
            return self.plan(points, study)
        return sweep(points, study, command, self.console, launcher=self.place)


class SearchSweeper(StudySweeper):
    """`n_trials` variants in all, suggested by `sampler` (of Optuna), run as one study."""

    def __init__(
        self,
        sampler: str,
        seed: int,
        params: DictConfig,
        variants: DictConfig,
        exclude: ListConfig | str,
    ) -> None:
        super().__init__(params, variants, exclude)
        self.sampler, self.seed = sampler, seed

    def space(self, given: Sequence[Override], planned: Sequence[Override]) -> Space:
        from repghost.sweep.space.points import parse_space

        return parse_space(given, planned, self.named_variants(), self.exclude)

    def run(self, space: Space, composer: Composer, command: str) -> int:
        from repghost.sweep.command import search
        from repghost.sweep.space.points import SamplerSpec

        if not space.dimensions:
            raise ValueError("nothing to search: give keys choices, a range(), or an interval()")
        if len(space.tasks) > 1:
            raise ValueError(
                "a search ranks all variants by one score, and those of several tasks are not"
                " comparable: search one task at a time, or run a grid (hydra/sweeper=grid)"
            )
        sampler, base = SamplerSpec(self.sampler, self.seed), space.first(composer).settings
        if base.n_trials is None:
            raise ValueError("hydra/sweeper=search needs n_trials=N, the study's variants in all")
        study = _study(base, space)
        if base.plan:
            return self._plan_search(space, composer, study, base.n_trials)
        return search(space, composer, sampler, study, command, self.console, launcher=self.place)

    def _plan_search(self, space: Space, composer: Composer, study: str, n_trials: int) -> int:
        """Say what may be suggested: in full where that is a list to read."""
        keys = ", ".join(dimension.key for dimension in space.dimensions)
        of = "endlessly many" if space.size is None else f"{space.size:,}"
        self.say(f"a search, {self.sampler}: {n_trials} of {of} combinations of {keys}")
        if space.size is None or space.size > LISTED:
            self.say("they are too many to list; nothing was started: leave out plan=true to start")
            return 0
        return self.plan(space.points(composer, self.say), study)


def _study(base: Settings, space: Space) -> str:
    from repghost.sweep.space.points import check_study_name, study_name

    return check_study_name(base.study or study_name(space))
