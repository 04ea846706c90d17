"""In which format a step is computed, compiled or not: as asked, or not at all."""

import shutil
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from toy_training import network

from repghost.models.repghost_spec import RepGhostNetSpec
from repghost.training.data import open_source
from repghost.training.engine import Training
from repghost.training.precision import compiled, usable
from repghost.training.spec import DataSpec, RecipeSpec
from repghost.variant import Variant

CPU = torch.device("cpu")
RECIPE = RecipeSpec(batch_size=64, dropout=0.0)


class Small(nn.Module):
    """A network that compiles in seconds; one that `talks` cannot be compiled whole."""

    def __init__(self, talks: bool = False) -> None:
        super().__init__()
        self.conv, self.norm, self.talks = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), talks
        self.head = nn.Linear(4, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(x)).relu().mean((2, 3))
        if self.talks:
            print(float(x.sum()))
        return self.head(x)


def one_step(recipe: RecipeSpec, model: nn.Module) -> dict[str, Tensor]:
    source = open_source(DataSpec(), recipe, 0)
    training = Training(model, source, recipe, 0, CPU)
    training.train_step(next(source.train(0, 0)))
    return training.model.state_dict()


def test_bfloat16_moves_the_weights_nearly_as_float32_does_and_not_equally():
    exact = one_step(RECIPE, network(RECIPE))
    short = one_step(replace(RECIPE, amp="bf16"), network(RECIPE))
    assert all(tensor.dtype == exact[name].dtype for name, tensor in short.items())
    assert any(not torch.equal(tensor, exact[name]) for name, tensor in short.items())
    means = [name for name in exact if name.endswith("running_mean")]
    for name in means:
        assert torch.allclose(short[name], exact[name], atol=0.05), name


def test_float16_without_a_gpu_is_float32_and_does_not_pretend():
    assert usable("fp16", CPU) == "none"
    assert usable("bf16", CPU) == "bf16"


@pytest.mark.parametrize("word", ["true", "True", "fp8", ""])
def test_another_word_for_the_format_is_refused_with_the_allowed_ones(word):
    with pytest.raises(ValueError, match=rf"recipe\.amp={word}: allowed are none, bf16, fp16"):
        RecipeSpec(amp=word)


def test_what_changes_the_result_is_in_the_key_and_compiling_is_not():
    def key(**changes: object) -> str:
        recipe = replace(RecipeSpec(), **changes)
        return Variant(RepGhostNetSpec(), DataSpec(), recipe, 0).key

    changes = [{"amp": "bf16"}, {"amp": "fp16"}, {"sync_bn": True}, {"freeze_bn": True}]
    assert len({key(), *(key(**change) for change in changes)}) == 5
    assert key(compile=True) == key()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="compiling for a CPU needs g++")
def test_a_compiled_step_is_the_plain_step():
    torch.manual_seed(0)
    model = Small()
    plain = one_step(RECIPE, copy_of(model))
    fast = one_step(replace(RECIPE, compile=True), copy_of(model))
    for name, tensor in plain.items():
        assert torch.allclose(fast[name], tensor, atol=1e-5), name


def copy_of(model: nn.Module) -> nn.Module:
    copy = Small()
    copy.load_state_dict(model.state_dict())
    return copy


def test_what_cannot_be_compiled_whole_is_refused_and_not_run_in_secret():
    with pytest.raises(ValueError, match=r"recipe\.compile=true: cannot be compiled here: "):
        compiled(Small(talks=True))(torch.zeros(2, 3, 8, 8))


def test_frozen_statistics_stay_while_scale_and_shift_learn():
    recipe = replace(RECIPE, freeze_bn=True)
    before = network(recipe).state_dict()
    after = one_step(recipe, network(recipe))
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert not [name for name in moved if "running" in name or "tracked" in name]
    assert any(before[name].dim() == 1 for name in moved)
