"""The contract that every network of the paper keeps, from its name to a resumed training."""

import json
from collections.abc import Iterator
from pathlib import Path

import golden_cost
import numpy as np
import onnx
import pytest
import torch

from repghost.deploy.runtime import MnnNetwork
from repghost.interrupt import Stop
from repghost.latency.spec import LatencySpec
from repghost.models.cost import count
from repghost.models.paper import ENTRIES
from repghost.models.registry import build
from repghost.preparation import Prepared, prepare
from repghost.settings import Settings
from repghost.training.batches import Batch
from repghost.training.engine import Training
from repghost.training.loop import train
from repghost.training.spec import RecipeSpec

NOTHING = RecipeSpec(epochs=0)
TWO_STEPS = RecipeSpec(epochs=1, batch_size=4, warmup_epochs=0, checkpoint_every_s=1e-9)
FOLDED = {"BatchNormalization", "Dropout", "Identity", "ReduceMean"}


class Killed(BaseException):
    """Stands for kill -9."""


class TwoBatches:
    """Two batches of four random images of 32 pixels; dies before step `dies_at`."""

    steps = 2

    def __init__(self, dies_at: int | None = None) -> None:
        self.dies_at = dies_at

    def train(self, epoch: int, start: int) -> Iterator[Batch]:
        for step in range(start, self.steps):
            if step == self.dies_at:
                raise Killed
            yield batch_of(step)

    def val(self) -> Iterator[Batch]:
        yield batch_of(9)


def batch_of(seed: int) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    return Batch(torch.randn(4, 3, 32, 32, generator=generator), torch.tensor([0, 1, 2, 3]))


@pytest.fixture(scope="class")
def deployed(name, tmp_path_factory) -> tuple[Prepared, Path]:
    mnn = tmp_path_factory.mktemp(name) / "model.mnn"
    spec = ENTRIES[name].spec
    settings = Settings(model=spec, recipe=NOTHING, latency=LatencySpec(input_size=224))
    return prepare(settings, mnn), mnn


def trained(name: str, folder: Path, dies_at: int | None = None) -> Training:
    torch.manual_seed(1)
    model = build(ENTRIES[name].spec, dropout=0.2)
    training = Training(model, TwoBatches(dies_at), TWO_STEPS, 1, torch.device("cpu"))
    train(training, folder, name, lambda record: None, Stop())
    return training


# One process for all tests of a network: it is deployed once.
EACH = [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in ENTRIES]


@pytest.mark.parametrize("name", EACH, scope="class")
class TestNetwork:
    def test_it_is_certified_at_its_own_input_size(self, name, deployed):
        certificate = deployed[0].certificate
        assert certificate.passed, certificate.as_dict()
        assert {row.form for row in certificate.comparisons} == {"fused", "mnn", "mnn_fast"}

    def test_its_parameters_and_macs_are_those_on_record(self, name, deployed):
        found, golden = deployed[0], golden_cost.read()[name]
        assert str(found.deployed_cost.params) == golden["params"]
        assert str(found.deployed_cost.macs) == golden["macs"]
        assert str(found.training_cost.params) == golden["training_params"]

    def test_everything_that_can_be_folded_is(self, name, deployed):
        found, mnn = deployed
        graph = onnx.load(str(mnn.with_suffix(".onnx"))).graph
        assert not {node.op_type for node in graph.node} & FOLDED
        assert len(found.not_folded) == (16 if name == "module-b" else 0)

    def test_mnn_runs_it(self, name, deployed):
        network = MnnNetwork(deployed[1])
        images = np.random.default_rng(0).normal(size=(1, 3, 224, 224)).astype(np.float32)
        logits = network.run(images)
        assert logits.shape == (1, 1000) and np.isfinite(logits).all()
        assert len(np.unique(logits)) > 500

    def test_it_takes_grey_images_and_few_classes(self, name, deployed):
        spec = ENTRIES[name].spec
        other = type(spec)(**(spec.__dict__ | {"in_chs": 1, "num_classes": 7}))
        with torch.no_grad():
            assert build(other).eval()(torch.randn(2, 1, 32, 32)).shape == (2, 7)
        assert count(build(other), (1, 32, 32)).params < deployed[0].training_cost.params

    def test_every_weight_learns_and_a_kill_between_two_steps_changes_nothing(
        self, name, deployed, tmp_path
    ):
        whole = trained(name, tmp_path / "whole")
        with pytest.raises(Killed):
            trained(name, tmp_path / "killed", dies_at=1)
        resumed = trained(name, tmp_path / "killed").scored.state_dict()
        scored = whole.scored.state_dict()
        assert scored.keys() == resumed.keys()
        assert all(torch.equal(scored[key], resumed[key]) for key in scored)
        moved = {key: whole.optimizer.state[one] for key, one in whole.model.named_parameters()}
        assert not [key for key, one in moved.items() if not one["momentum_buffer"].any()]
        record = json.loads((tmp_path / "killed" / "metrics.jsonl").read_text())
        assert np.isfinite(record["train_loss"])
