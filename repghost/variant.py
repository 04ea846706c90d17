"""One variant's identity: what its result depends on, and nothing else."""

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from repghost.models.registry import spec_class
from repghost.models.spec import ModelSpec
from repghost.training.spec import DataSpec, RecipeSpec

KEY_DIGITS = 12


@dataclass(frozen=True)
class Variant:
    """A network, the data and recipe that train it, a seed; not: machine, cluster, devices."""

    model: ModelSpec
    data: DataSpec
    recipe: RecipeSpec
    seed: int

    @property
    def key(self) -> str:
        """The name of this variant's run: a hash of everything that decides its result."""
        canonical = json.dumps(self.config(), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:KEY_DIGITS]

    def config(self) -> dict[str, Any]:
        """Return the deciding settings as plain data, group by group."""
        groups = {"model": self.model, "data": self.data, "recipe": self.recipe}
        return {name: _deciding(group) for name, group in groups.items()} | {"seed": self.seed}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Return the variant that `config()` described."""
        return cls(
            spec_class(config["model"]["family"])(**config["model"]),
            DataSpec(**config["data"]),
            RecipeSpec(**config["recipe"]),
            config["seed"],
        )


def _deciding(group: Any) -> dict[str, Any]:
    machine = {item.name for item in fields(group) if item.metadata.get("machine")}
    return {name: value for name, value in asdict(group).items() if name not in machine}
