"""The sweeper that `conf/hydra/sweeper/grid.yaml` names; it only calls repghost.sweep.

Hydra imports this module at every start: nothing heavy at module level.
"""

import sys
from typing import Any

from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class GridSweeper(Sweeper):
    """The product of all swept values, run as one study.

    `params` (key: values) and `variants` (name: overrides) are what a file of `sweeps/` adds.
    """

    def __init__(self, params: DictConfig, variants: DictConfig) -> None:
        super().__init__()
        self.params, self.variants = params, variants

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self.hydra_context, self.config = hydra_context, config

    def sweep(self, arguments: list[str]) -> Any:
        """Run the sweep and leave with its exit code."""
        from hydra.core.override_parser.overrides_parser import OverridesParser
        from rich.console import Console

        from repghost.settings import Settings, settings_from
        from repghost.sweep.command import sweep
        from repghost.sweep.space import check_study_name, parse_grid, study_name

        assert self.hydra_context is not None and self.config is not None
        loader, master = self.hydra_context.config_loader, self.config

        def compose(overrides: list[str]) -> Settings:
            return settings_from(loader.load_sweep_config(master, overrides))

        parser = OverridesParser.create(config_loader=loader)
        planned = parser.parse_overrides([f"{key!s}={text}" for key, text in self.params.items()])
        named = {str(name): str(text) for name, text in self.variants.items()}
        grid = parse_grid(parser.parse_overrides(arguments), planned, named)
        points = grid.points(compose)
        study = check_study_name(points[0].settings.study or study_name(grid))
        command = " ".join(["python launch.py -m", *arguments])
        sys.exit(sweep(points, study, command, Console()))
