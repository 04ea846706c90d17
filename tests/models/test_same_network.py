"""Do specs that say that they are one network build one, and the others not? Over all switches."""

import copy
import itertools
from collections.abc import Hashable, Iterable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from repghost.deploy.export import export
from repghost.deploy.fingerprint import fingerprint
from repghost.deploy.fuse import fuse
from repghost.models.registry import build
from repghost.models.repghost_spec import (
    BRANCH_NAMES,
    RELU_POSITIONS,
    GhostNetSpec,
    RepGhostNetSpec,
    RepGhostRes50Spec,
)
from repghost.models.spec import ModelSpec

IMAGE = (3, 32, 32)
TINY = {"width": 0.05, "num_classes": 3}
REPARAMS = ["none"] + [
    "+".join(names) for n in (1, 2, 3) for names in itertools.combinations(BRANCH_NAMES, n)
]
MODULES = [{"reparam": r, "relu": relu} for r in REPARAMS for relu in RELU_POSITIONS]
AROUND = [{"shortcut": s, "se": se} for s in (True, False) for se in (True, False)]
SAID_OTHERWISE = [
    {"width": 0.0501},
    {"ratio": 2.01},
    {"ratio": 1.0},
    {"ratio": 1.0, "reparam": "none", "relu": "both"},
    {"module": "a"},
    {"module": "a", "ratio": 3.0},
    {"module": "b"},
    {"module": "e", "width": 0.0501},
]


def repghostnets(modules: list[dict], around: list[dict]) -> list[RepGhostNetSpec]:
    knobs = [module | other for module in modules for other in around] + SAID_OTHERWISE
    return list(dict.fromkeys(RepGhostNetSpec(**(TINY | given)) for given in knobs))


def groups(specs: Iterable[ModelSpec], of: str) -> set[frozenset[ModelSpec]]:
    return partition({spec: getattr(spec, of) for spec in specs})


def partition(marks: dict[ModelSpec, Hashable]) -> set[frozenset[ModelSpec]]:
    found: dict[Hashable, set[ModelSpec]] = {}
    for spec, mark in marks.items():
        found.setdefault(mark, set()).add(spec)
    return {frozenset(members) for members in found.values()}


def spread(network: nn.Module) -> None:
    """Give every BatchNorm weights of its own, so that each ReLU has something to cut."""
    generator = torch.Generator().manual_seed(1)
    for norm in (part for part in network.modules() if isinstance(part, nn.BatchNorm2d)):
        with torch.no_grad():
            norm.weight.copy_(torch.rand(norm.num_features, generator=generator) + 0.5)
            norm.bias.copy_(torch.randn(norm.num_features, generator=generator))


@dataclass(frozen=True)
class Built:
    """A network of seed 0, and one training step of it from weights shared by all of its shapes."""

    initial: bytes
    shapes: Hashable
    step: bytes


@pytest.fixture(scope="module")
def built() -> dict[ModelSpec, Built]:
    """Every network of the switch space."""
    weights: dict[Hashable, dict[str, Tensor]] = {}
    return {spec: taught(spec, weights) for spec in repghostnets(MODULES, AROUND)}


def taught(spec: ModelSpec, weights: dict[Hashable, dict[str, Tensor]]) -> Built:
    torch.manual_seed(0)
    network = build(spec)
    initial = b"".join(map(bits, network.state_dict().values()))
    spread(network)
    shapes = tuple((name, tuple(value.shape)) for name, value in network.state_dict().items())
    network.load_state_dict(weights.setdefault(shapes, copy.deepcopy(network.state_dict())))
    logits = network(torch.randn(4, *IMAGE, generator=torch.Generator().manual_seed(2)))
    logits.square().sum().backward()
    gradients = [parameter.grad for parameter in network.parameters()]
    return Built(initial, shapes, b"".join(map(bits, (logits, *gradients))))


def bits(tensor: Tensor) -> bytes:
    return str(tuple(tensor.shape)).encode() + tensor.detach().numpy().tobytes()


@pytest.mark.slow
def test_specs_that_train_as_one_start_with_the_same_bits_and_learn_the_same_bits(built):
    found = partition({spec: (made.initial, made.step) for spec, made in built.items()})
    assert found == groups(built, "trains_as")
    assert len(found) < len(built)


def test_specs_that_do_not_train_as_one_compute_something_else_with_equal_weights(built):
    found = partition({spec: (made.shapes, made.step) for spec, made in built.items()})
    assert found == groups(built, "trains_as")


@pytest.mark.slow
def test_specs_that_deploy_as_one_fuse_to_the_same_modules_and_no_others_do():
    specs = repghostnets(MODULES, AROUND[:1]) + repghostnets(MODULES[:1], AROUND[1:])
    fused = {spec: str(fuse(build(spec).eval(), IMAGE)) for spec in specs}
    assert partition(fused) == groups(fused, "deploys_as")


@pytest.mark.slow
def test_specs_that_deploy_as_one_have_one_fingerprint(tmp_path):
    modules = [("none", "both"), ("bn", "after_add"), ("id", "after_dconv"), ("id", "both")]
    modules += [("bn", "both"), ("bn+id", "both"), ("dconv", "after_dconv")]
    specs = [RepGhostNetSpec(**TINY, reparam=reparam, relu=relu) for reparam, relu in modules]
    specs += [RepGhostNetSpec(num_classes=3, width=0.0501), RepGhostNetSpec(**TINY, module="a")]
    found = partition({spec: deployed(spec, tmp_path) for spec in specs})
    assert found == groups(specs, "deploys_as")


def deployed(spec: ModelSpec, folder) -> str:
    onnx = folder / "n.onnx"
    export(fuse(build(spec).eval(), IMAGE), (1, *IMAGE), onnx, folder / "n.mnn")
    return fingerprint(onnx)


@pytest.mark.parametrize("reuse", ["concat", "add"])
def test_widths_of_ghostnet_are_one_network_where_their_channels_are(reuse):
    widths = (0.1, 0.101, 0.12, 0.125, 0.5, 0.501)
    specs = [GhostNetSpec(width=width, reuse=reuse, num_classes=3) for width in widths]
    tensors = {spec: tuple(v.shape for v in build(spec).state_dict().values()) for spec in specs}
    assert partition(tensors) == groups(specs, "trains_as") == groups(specs, "deploys_as")
    assert 1 < len(groups(specs, "trains_as")) < len(specs)


def test_branches_of_repghost_res50_are_folded_away():
    specs = [RepGhostRes50Spec(ratio=8, reparam=reparam) for reparam in ("none", "bn", "id+dconv")]
    assert len(groups(specs, "trains_as")) == 3
    assert len(groups(specs, "deploys_as")) == 1
    assert len({str(fuse(build(spec).eval(), (3, 64, 64))) for spec in specs}) == 1


def test_weights_to_start_from_decide_what_is_trained_but_not_the_graph():
    cold, warm = RepGhostNetSpec(), RepGhostNetSpec(weights="a.pt", weights_digest="ab")
    moved = RepGhostNetSpec(weights="b.pt", weights_digest="ab")
    assert cold.trains_as != warm.trains_as == moved.trains_as
    assert cold.deploys_as == warm.deploys_as


def test_a_switch_that_cannot_act_is_named_with_what_it_acts_as():
    (idle,) = RepGhostNetSpec(reparam="none", relu="both").idle
    assert (idle.switch, idle.acts_as, idle.where) == ("relu", "after_add", "reparam=none")
    (idle,) = RepGhostNetSpec(reparam="id", relu="both").idle
    assert (idle.switch, idle.acts_as, idle.where) == ("relu", "after_dconv", "reparam=id")
    specs = repghostnets(MODULES, AROUND)
    assert not any(spec.idle for spec in specs if spec.reparam not in ("none", "id"))
    assert all(spec.settled().idle == () for spec in specs)
