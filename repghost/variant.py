"""One variant's identity: what its result depends on, and nothing else."""

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

from repghost.detection.spec import TaskSpec
from repghost.models.registry import spec_class
from repghost.models.spec import ModelSpec
from repghost.training.spec import DataSpec, RecipeSpec

KEY_DIGITS = 12


@dataclass(frozen=True)
class Variant:
    """A network, the data and recipe that train it, a seed; not: machine, cluster, devices.

    The `task` is part of it where a detector is trained on the network.
    """

    model: ModelSpec
    data: DataSpec
    recipe: RecipeSpec
    seed: int
    task: TaskSpec = field(default_factory=TaskSpec)

    @property
    def key(self) -> str:
        """The name of this variant's run: a hash of everything that decides its result."""
        canonical = json.dumps(self.config(), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:KEY_DIGITS]

    def config(self) -> dict[str, Any]:
        """Return the deciding settings as plain data, group by group."""
        groups = {"model": self.model, "data": self.data, "recipe": self.recipe}
        found = {name: _deciding(group) for name, group in groups.items()} | {"seed": self.seed}
        return found | ({"task": self.task.deciding} if self.task.detects else {})

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Return the variant that `config()` described."""
        return cls(
            spec_class(config["model"]["family"])(**config["model"]),
            DataSpec(**config["data"]),
            RecipeSpec(**config["recipe"]),
            config["seed"],
            TaskSpec(**config.get("task", {})),
        )


def _deciding(group: Any) -> dict[str, Any]:
    """Return the fields that decide a result; one that came later only where it is set."""
    values = asdict(group)
    for item in fields(group):
        is_as_before = item.metadata.get("later") and values[item.name] == item.default
        if item.metadata.get("machine") or is_as_before:
            del values[item.name]
    return values
