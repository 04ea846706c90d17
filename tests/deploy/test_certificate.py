import copy
import json
import math

import pytest
import torch
from torch import nn

from repghost.deploy.certificate import (
    TOLERANCE,
    CertificateError,
    certify,
    spread_statistics,
)
from repghost.deploy.export import export
from repghost.deploy.fuse import fuse
from repghost.models.registry import build
from repghost.models.repghost_spec import RepGhostNetSpec

IMAGE = (3, 32, 32)


def noise(n, size=32, seed=1):
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(seed))


def exported(fused, folder, batch=1, size=32):
    export(fused, (batch, 3, size, size), folder / "a.onnx", folder / "a.mnn")
    return folder / "a.mnn"


class Deployed:
    def __init__(self, folder, batch=1, **knobs):
        torch.manual_seed(0)
        spec = RepGhostNetSpec(**({"width": 0.25, "num_classes": 10} | knobs))
        self.model = spread_statistics(build(spec), 0, IMAGE)
        self.fused = fuse(self.model, IMAGE)
        self.mnn = exported(self.fused, folder, batch)


@pytest.fixture(scope="module")
def deployed(tmp_path_factory):
    return Deployed(tmp_path_factory.mktemp("deployed"), reparam="bn+id+dconv")


def test_a_correct_network_passes_with_room(deployed):
    certificate = certify(deployed.model, deployed.fused, deployed.mnn, noise(8)).require()
    assert certificate.passed and certificate.inputs == 8
    assert [row.form for row in certificate.comparisons] == ["fused", "mnn", "mnn_fast"]
    for row in certificate.comparisons:
        assert 0 < row.relative_error < TOLERANCE / 5
        assert row.top1_agreement == 1.0


@pytest.mark.parametrize("knobs", [{"relu": "both"}, {"se": False, "shortcut": False}])
def test_ablations_pass(tmp_path, knobs):
    variant = Deployed(tmp_path, **knobs)
    assert certify(variant.model, variant.fused, variant.mnn, noise(4)).require().passed


@pytest.mark.parametrize("n", [1, 4, 6])
def test_any_number_of_inputs_runs_at_the_files_own_batch_size(tmp_path, n):
    variant = Deployed(tmp_path, batch=4)
    assert certify(variant.model, variant.fused, variant.mnn, noise(n)).require().inputs == n


def test_the_certificate_is_plain_json(deployed):
    certificate = certify(deployed.model, deployed.fused, deployed.mnn, noise(2)).as_dict()
    assert json.loads(json.dumps(certificate, allow_nan=False)) == certificate
    assert certificate["passed"] is True and certificate["inputs"] == 2
    assert certificate["mnn"]["tolerance"] == TOLERANCE


def biased_convs(fused):
    return [part for part in fused.modules() if isinstance(part, nn.Conv2d)]


@pytest.mark.parametrize("index", [0, 1, 2, 10, 40, -10, -3])
def test_one_dropped_bias_fails_with_the_number_found(deployed, index):
    broken = copy.deepcopy(deployed.fused)
    nn.init.zeros_(biased_convs(broken)[index].bias)
    certificate = certify(deployed.model, broken, deployed.mnn, noise(4))
    row = certificate.comparisons[0]
    assert not certificate.passed and not row.passed and certificate.comparisons[1].passed
    found = f"fused: relative error {row.relative_error:.3g}, the tolerance is {TOLERANCE:g}"
    with pytest.raises(CertificateError, match=found):
        certificate.require()


def test_an_mnn_file_with_other_weights_fails(deployed, tmp_path):
    torch.manual_seed(1)
    network = build(RepGhostNetSpec(width=0.25, num_classes=10))
    other = fuse(spread_statistics(network, 1, IMAGE), IMAGE)
    certificate = certify(deployed.model, deployed.fused, exported(other, tmp_path), noise(4))
    with pytest.raises(CertificateError, match="mnn: relative error"):
        certificate.require()


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("part", ["model", "fused"])
def test_numbers_that_are_not_finite_fail(deployed, part, value):
    networks = {"model": deployed.model, "fused": deployed.fused}
    networks[part] = copy.deepcopy(networks[part])
    nn.init.constant_(networks[part].classifier.weight[0], value)
    certificate = certify(**networks, mnn_path=deployed.mnn, inputs=noise(2))
    json.dumps(certificate.as_dict(), allow_nan=False)
    with pytest.raises(CertificateError, match=r"fused: 2 of 20 outputs of .* not finite"):
        certificate.require()


def test_nan_weights_fail_all_the_way_through_mnn(deployed, tmp_path):
    model = copy.deepcopy(deployed.model)
    nn.init.constant_(model.classifier.bias, math.nan)
    fused = fuse(model, IMAGE)
    with pytest.raises(CertificateError, match="not finite"):
        certify(model, fused, exported(fused, tmp_path), noise(2)).require()


def test_another_number_of_classes_fails(deployed, tmp_path):
    torch.manual_seed(1)
    other = fuse(build(RepGhostNetSpec(width=0.25, num_classes=7)).eval(), IMAGE)
    certificate = certify(deployed.model, deployed.fused, exported(other, tmp_path), noise(2))
    with pytest.raises(CertificateError, match=r"mnn: its outputs are \(2, 7\)"):
        certificate.require()


def linear(rows):
    """Return a network whose logits are the images' mean times `rows` plus [0, 1, 1, ...]."""
    pool = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, len(rows))]
    network = nn.Sequential(nn.Conv2d(3, 3, 1), *pool).eval()
    network[0].weight.data = torch.eye(3).reshape(3, 3, 1, 1)
    nn.init.zeros_(network[0].bias)
    network[-1].weight.data = torch.tensor(rows)
    network[-1].bias.data = torch.tensor([0.0] + [1.0] * (len(rows) - 1))
    return network


def test_near_ties_do_not_fail_a_correct_network(tmp_path):
    ahead = linear([[0.0] * 3, [2e-5] * 3, [0.0] * 3])
    behind = linear([[0.0] * 3, [0.0] * 3, [2e-5] * 3])
    inputs = torch.ones(4, 3, 8, 8)
    certificate = certify(ahead, behind, exported(ahead, tmp_path, size=8), inputs).require()
    assert certificate.comparisons[0].ties == 4
    assert certificate.comparisons[1].ties == 0


def test_a_top1_that_differs_beyond_a_tie_fails(tmp_path):
    ahead = linear([[0.0] * 3, [2e-3] * 3, [0.0] * 3])
    behind = linear([[0.0] * 3, [0.0] * 3, [2e-3] * 3])
    certificate = certify(ahead, behind, exported(ahead, tmp_path, size=8), torch.ones(4, 3, 8, 8))
    assert certificate.comparisons[0].top1_agreement == 0
    assert not certificate.passed


def test_a_network_that_is_always_0_cannot_be_certified(tmp_path):
    zero = linear([[0.0] * 3])
    with pytest.raises(CertificateError, match="all outputs of the training form are 0"):
        certify(zero, zero, exported(zero, tmp_path, size=8), torch.ones(1, 3, 8, 8)).require()


def test_certifying_leaves_the_networks_as_they_are(deployed):
    model = copy.deepcopy(deployed.model).train()
    before = copy.deepcopy(model.state_dict())
    certify(model, deployed.fused, deployed.mnn, noise(2)).require()
    assert all(part.training for part in model.modules())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("inputs", [noise(0), noise(2, size=64)])
def test_inputs_that_do_not_fit_are_refused(deployed, inputs):
    with pytest.raises(ValueError, match=r"a\.mnn takes \(1, 3, 32, 32\)"):
        certify(deployed.model, deployed.fused, deployed.mnn, inputs)


@pytest.mark.parametrize(
    "knobs", [{}, {"relu": "both", "reparam": "bn+id+dconv"}, {"shortcut": False}]
)
def test_spread_statistics_keep_activations_in_order_and_every_batchnorm_moves(knobs):
    torch.manual_seed(0)
    fresh = build(RepGhostNetSpec(width=0.25, **knobs))
    spread = spread_statistics(fresh, 0, (3, 64, 64))
    sizes = []
    for block in spread.blocks:
        block.register_forward_hook(lambda _, __, y: sizes.append(y.square().mean().sqrt().item()))
    with torch.no_grad():
        logits = spread(noise(8, size=64))
    assert len(sizes) == 16 and min(sizes) > 0.1 and max(sizes) < 100
    assert logits.std(0).mean() > 0.01 * logits.abs().max()  # the logits depend on the image
    for norm in (part for part in spread.modules() if isinstance(part, nn.BatchNorm2d)):
        assert norm.bias.abs().max() > 0.01 and norm.weight.std() > 0.01
        assert norm.running_mean.abs().max() > 0 and norm.running_var.std() > 0
    assert fresh.training and fresh.stem.bn.running_mean.abs().max() == 0


def test_spread_statistics_are_those_of_their_seed():
    fresh = build(RepGhostNetSpec(width=0.2))
    one, same, other = (spread_statistics(fresh, seed, IMAGE).stem.bn for seed in (0, 0, 1))
    assert torch.equal(one.running_mean, same.running_mean)
    assert not torch.equal(one.running_mean, other.running_mean)
