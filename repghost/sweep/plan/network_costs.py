"""What networks cost: from runs that counted them, from a file, and at last by building them."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import repghost
from repghost.atomic import read_json, write_json
from repghost.detection.spec import DetectorSpec, NetworkSpec
from repghost.models.registry import build
from repghost.run import Run
from repghost.training.spec import DataSpec

if TYPE_CHECKING:
    from torch import nn

Image = tuple[int, int, int]  # C, H, W
COUNTED_BY = ("models", "deploy", "detection")  # the packages whose code decides a cost
LIBRARIES = ("timm", "torchvision")
DIGEST_DIGITS = 16


class NetworkCost(NamedTuple):
    """Parameters of a deployed network, and its multiply-adds for one image."""

    params: int
    macs: int


def cost_of_run(run: Run, image: Image) -> NetworkCost | None:
    """Return what a run found its deployed network to cost for images of this shape, if it did."""
    for shape, graph in run.certificate()["deployed"].items():
        if shape.split("x")[1:] == [str(size) for size in image]:
            return NetworkCost(graph["params"], graph["macs"])
    return None


class CostFile:
    """`outputs/costs.json`: costs by network and image, for as long as the code stays the same."""

    def __init__(self, outputs: str | Path) -> None:
        self._path = Path(outputs) / "costs.json"
        self._code = _code_digest()
        found = read_json(self._path) or {}
        self._networks: dict[str, Any] = {}
        if found.get("code") == self._code:
            self._networks = found["networks"]

    def get(self, spec: NetworkSpec, image: Image) -> NetworkCost | None:
        """Return a cost that was counted before."""
        found = self._networks.get(_name(spec, image))
        return NetworkCost(found["params"], found["macs"]) if found else None

    def count(
        self,
        wanted: Iterable[tuple[NetworkSpec, Image]],
        count: Callable[[NetworkSpec, Image], NetworkCost] | None = None,
    ) -> Mapping[NetworkSpec, str]:
        """Build and count networks, and keep what they cost; return why some could not be built.

        Raises:
            OSError: the file cannot be written; what was counted is known to this object.
        """
        refused: dict[NetworkSpec, str] = {}
        for spec, image in wanted:
            try:
                cost = (count or counted)(spec, image)
            except ValueError as error:
                refused[spec] = str(error)
                continue
            row = {"network": spec.describe(), "image": list(image), **cost._asdict()}
            self._networks[_name(spec, image)] = row
        write_json(self._path, {"code": self._code, "networks": self._networks})
        return refused


def counted(spec: NetworkSpec, image: Image) -> NetworkCost:
    """Build, fuse and count one network on one thread; imports torch.

    Raises:
        ValueError: it cannot be built, or cannot take such images.
    """
    import torch

    from repghost.deploy.fuse import fuse
    from repghost.models.cost import count

    torch.set_num_threads(1)  # small layers: two threads on a busy machine were ten times slower
    cost = count(fuse(_network(spec).eval(), image), image)
    return NetworkCost(cost.params, cost.macs)


def _network(spec: NetworkSpec) -> "nn.Module":
    """Build what a device runs of it."""
    if not isinstance(spec, DetectorSpec):
        return build(spec)
    from repghost.detection.networks import DensePart, build_detector

    data = DataSpec(kind="coco", max_size=DataSpec.input_size)  # sizes do not act on what is built
    classes = spec.backbone.num_classes
    return DensePart(build_detector(spec.task, build(spec.backbone), data, classes))


def _name(spec: NetworkSpec, image: Image) -> str:
    return hashlib.sha256(repr((spec.deploys_as, image)).encode()).hexdigest()[:DIGEST_DIGITS]


def _code_digest() -> str:
    """Say by which code costs are counted: after a change they are counted again."""
    package = Path(repghost.__file__).parent
    files = sorted(path for name in COUNTED_BY for path in (package / name).glob("*.py"))
    digest = hashlib.sha256("".join(map(version, LIBRARIES)).encode())
    for path in files:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:DIGEST_DIGITS]
