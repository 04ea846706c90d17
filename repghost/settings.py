"""From Hydra's config to typed, checked settings; no `DictConfig` goes further than this."""

import difflib
import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from repghost.detection.spec import DetectorSpec, NetworkSpec, TaskSpec
from repghost.latency.spec import LatencySpec, StorageSpec
from repghost.models.paper import ENTRIES
from repghost.models.registry import spec_class
from repghost.models.repghost_spec import RepGhostNetSpec
from repghost.models.spec import ModelSpec
from repghost.objective import Objective, objective_of
from repghost.sweep.rungs import StopSpec
from repghost.tracking.spec import TrackingSpec
from repghost.training.spec import PADDED_TO, DataSpec, RecipeSpec
from repghost.variant import Variant

T = TypeVar("T")
HYDRAS_KEYS = ("hydra",)  # in the composed config, but Hydra's
DIGEST_DIGITS = 16
MNN_FILE = ".mnn"
VARIANT_GROUPS = ("model", "data", "recipe")
RETRIES = ("none", "failed")


@dataclass(frozen=True)
class SweepSpec:
    """`cohort`: up to so many variants are trained in one process, on one stream of batches.

    `refine`: up to so many runs in all beyond the sweep's own, those that decide most about the
    front: further seeds, and longer measurements of latency.
    """

    cohort: int = 1
    refine: int = 0

    def __post_init__(self) -> None:
        if self.cohort < 1:
            raise ValueError(f"sweep.cohort={self.cohort}: must be a whole number of at least 1")
        if self.refine < 0:
            raise ValueError(f"sweep.refine={self.refine}: must be a whole number of at least 0")


@dataclass(frozen=True)
class Settings:
    """One variant and everything around it: devices, stores, folders."""

    model: ModelSpec = field(default_factory=RepGhostNetSpec)
    data: DataSpec = field(default_factory=DataSpec)
    recipe: RecipeSpec = field(default_factory=RecipeSpec)
    seed: int = 0
    latency: LatencySpec = field(default_factory=LatencySpec)
    tracking: TrackingSpec = field(default_factory=TrackingSpec)
    storage: StorageSpec = field(default_factory=StorageSpec)
    stop: StopSpec = field(default_factory=StopSpec)
    sweep: SweepSpec = field(default_factory=SweepSpec)
    task: TaskSpec = field(default_factory=TaskSpec)
    checkpoint: str | None = None
    average: bool = True
    study: str | None = None
    outputs: str = "outputs"
    parallel: int = 1
    max_requeues: int = 3
    retry: str = "none"
    n_trials: int | None = None
    plan: bool = False
    images_per_s: str | None = None
    detach: bool = False

    def __post_init__(self) -> None:
        for name, least in (("parallel", 1), ("n_trials", 1), ("seed", 0), ("max_requeues", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"{name}={value}: must be a whole number of at least {least}")
        if self.retry not in RETRIES:
            raise ValueError(f"retry={self.retry}: allowed are {', '.join(RETRIES)}")

    @property
    def variant(self) -> Variant:
        """The part of the settings that the result depends on."""
        return Variant(self.model, self.data, self.recipe, self.seed, self.task)

    @property
    def validates(self) -> bool:
        """Whether nothing is trained: the weights in `checkpoint` are scored."""
        return _validates(self.task, self.checkpoint)

    @property
    def network(self) -> NetworkSpec:
        """What is built, trained and deployed: the model, or a detector on it."""
        return DetectorSpec(self.task, self.model) if self.task.detects else self.model

    @property
    def objective(self) -> Objective:
        """What a study maximises."""
        return objective_of(self.task.kind if self.task.detects else "")

    @property
    def stream(self) -> str:
        """Name the batches of the training, by what decides them: equal for those that share."""
        batches = (self.data, self.seed, self.recipe.of_batches())
        return repr((*batches, *([self.task.masks] if self.task.detects else [])))

    @property
    def timed_shape(self) -> tuple[int, int, int, int]:
        """The input (N, C, H, W) that latency is measured on."""
        _, height, width = self.data.image_shape
        if size := self.latency.input_size:
            height = width = size
        return self.latency.batch_size, self.model.in_chs, height, width

    @property
    def reference(self) -> str:
        """The network that latencies are paired with, shape included; "" under `paper`."""
        if self.latency.protocol != "paired":
            return ""
        shape, name = "x".join(map(str, self.timed_shape)), self.latency.reference
        if name.endswith(MNN_FILE):
            return f"{Path(name).stem}-{_digest(Path(name))}"
        return f"{name}-{shape}-{self.model.num_classes}"


def settings_from(config: DictConfig) -> Settings:
    """Return the typed settings of one composed config.

    Raises:
        ValueError: a key is unknown or missing, or a value is not allowed; one clear line.
    """
    own = OmegaConf.masked_copy(config, [str(key) for key in config if key not in HYDRAS_KEYS])
    recipe = _one(RecipeSpec, own.recipe, "recipe")
    data = _one(DataSpec, own.data, "data")
    task = _one(TaskSpec, own.task, "task")
    if _validates(task, own.get("checkpoint")):
        data = data.counted("val")
    else:
        data = data.counted("train", needed=recipe.trains)
    if own.data.get("num_classes", 0) is None:
        own.data.num_classes = data.num_classes
    OmegaConf.resolve(own.model)  # it looks at data, which is not with it from here on
    model = _one(spec_class(own.model.get("family", "")), own.model, "model")
    around = OmegaConf.masked_copy(own, [str(key) for key in own if key not in VARIANT_GROUPS])
    settings = _one(Settings, around, "")
    model = _with_digest(_from_run(model, Path(settings.outputs)))
    settings = replace(settings, model=model, data=data, recipe=recipe)
    check_together(settings)
    return settings


def _validates(task: TaskSpec, checkpoint: str | None) -> bool:
    return task.kind == "validate" or (task.detects and checkpoint is not None)


def check_together(settings: Settings) -> None:
    """Refuse what the groups do not allow together.

    Raises:
        ValueError: images are too small for the network or the reference, or that is unknown.
    """
    _check_task(settings)
    trained = [settings.data.input_size] if settings.recipe.trains else []
    for size in {settings.timed_shape[-1], *trained}:
        settings.model.check_input(size)
    _check_reference(settings)


def _check_task(settings: Settings) -> None:
    """Refuse a detector without boxes, boxes without a detector, a size it cannot be timed at."""
    kind, data = settings.task.kind, settings.data.kind
    if settings.task.detects and data != "coco":
        raise ValueError(f"task={kind}: needs boxes, which data.kind={data} has not; add data=coco")
    if data == "coco" and not settings.task.detects:
        raise ValueError(
            f"data.kind=coco: task={kind} needs classes; add task=retinanet or task=maskrcnn, which"
            " with checkpoint=FILE scores a detector's weights"
        )
    if settings.checkpoint is not None and not settings.validates:
        raise ValueError(
            f"checkpoint={settings.checkpoint}: task={kind} starts from model.weights=FILE;"
            " task=validate scores a file of weights"
        )
    if settings.task.detects and settings.timed_shape[-1] % PADDED_TO:
        raise ValueError(
            f"latency.input_size={settings.latency.input_size}: a detector's must be a multiple of"
            f" {PADDED_TO}, the largest stride of its features"
        )


def _check_reference(settings: Settings) -> None:
    """Refuse a reference network that is not there, or cannot take the timed input."""
    name = settings.latency.reference
    if name.endswith(MNN_FILE):
        if not Path(name).is_file():
            raise ValueError(f"latency.reference={name}: no such file")
    elif name not in ENTRIES:
        near = difflib.get_close_matches(name, ENTRIES, n=3, cutoff=0.0)
        raise ValueError(
            f"latency.reference={name}: must be a {MNN_FILE} file or a network of the paper's"
            f" tables, such as {', '.join(near)}"
        )
    elif settings.latency.protocol == "paired":
        ENTRIES[name].spec.check_input(settings.timed_shape[-1])


def _from_run(model: ModelSpec, outputs: Path) -> ModelSpec:
    """Return `model` with the checkpoint of the run that it starts from, if there is one.

    Raises:
        ValueError: the run is not finished, or is of another network.
    """
    if model.from_run is None:
        return model
    folder = outputs / "runs" / model.from_run
    if model.weights is not None and Path(model.weights).parent.name != model.from_run:
        raise ValueError(f"model.from_run={model.from_run}: model.weights={model.weights} is too")
    if not (folder / "result.json").is_file() or not (folder / "checkpoint.pt").is_file():
        raise ValueError(f"model.from_run={model.from_run}: {folder} is no finished run")
    trained = OmegaConf.to_container(OmegaConf.load(folder / "config.yaml"))
    assert isinstance(trained, dict)
    theirs = spec_class(trained["model"]["family"])(**trained["model"])
    alike: dict[str, Any] = {"num_classes": model.num_classes, "weights_digest": None}
    if "task" in trained or replace(theirs.settled(), **alike) != replace(model.settled(), **alike):
        kind = trained.get("task", {}).get("kind", "")
        raise ValueError(
            f"model.from_run={model.from_run}: that run is {theirs.describe()} {kind}".rstrip()
            + f" with other settings than {model.describe()}; give those of model that it has"
        )
    return replace(model, weights=str(folder / "checkpoint.pt"))


def _with_digest(model: ModelSpec) -> ModelSpec:
    """Return `model` with the digest of its checkpoint's content, if it starts from one."""
    if model.weights is None:
        return model
    path = Path(model.weights)
    if not path.is_file():
        raise ValueError(f"model.weights={model.weights}: no such file")
    return replace(model, weights=str(path.resolve()), weights_digest=_digest(path))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:DIGEST_DIGITS]


def _one(kind: type[T], config: DictConfig, group: str) -> T:
    """Merge `config` over the dataclass `kind`, with OmegaConf's type checks."""
    try:
        schema = _writable(OmegaConf.structured(kind))
        settings = OmegaConf.to_object(OmegaConf.merge(schema, config))
    except OmegaConfBaseException as error:
        raise ValueError(_in_one_line(error, group)) from error
    assert isinstance(settings, kind)
    return settings


def _writable(schema: DictConfig) -> DictConfig:
    """Let a schema made from frozen dataclasses, and its groups, be merged over."""
    OmegaConf.set_readonly(schema, False)
    for key in schema:
        node = schema._get_node(key)
        if isinstance(node, DictConfig) and not node._is_missing():
            OmegaConf.set_readonly(node, False)
    return schema


def _in_one_line(error: OmegaConfBaseException, group: str) -> str:
    key = ".".join(part for part in (group, str(getattr(error, "full_key", "") or "")) if part)
    said = str(error).splitlines()[0]
    return f"{key}: {said}" if key else said
