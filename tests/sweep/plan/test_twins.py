"""What is said of combinations that come to one training, and whether it is true."""

import io
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from grids import grid, point
from PIL import Image
from rich.console import Console
from torch import nn

from repghost.models.repghost_spec import RepGhostNetSpec
from repghost.settings import Settings
from repghost.sweep.plan.twins import UNREAD, say_twins, sentences, trains_as, twins_of
from repghost.training.data import open_source
from repghost.training.engine import Training
from repghost.training.spec import DataSpec, RecipeSpec

BASE = Settings()
AUGMENTED = RecipeSpec(batch_size=4, warmup_epochs=0, shift_px=2, hflip=0.5)
OTHER = {  # a value that is not the default's, by switch
    "recipe.scale_min": 0.9,
    "recipe.color_jitter": 0.7,
    "recipe.auto_augment": "rand-m9",
    "recipe.shift_px": 5,
    "recipe.scale_jitter": 0.5,
    "recipe.hflip": 1.0,
    "recipe.random_erasing": 1.0,
    "data.root": "nowhere",
    "data.name": "nothing",
    "data.crop_pct": 0.5,
    "data.decode": "fast",
}


def said(points, **options) -> list[str]:
    text = io.StringIO()
    say_twins(points, Console(file=text, width=40), **options)
    return text.getvalue().splitlines()


def test_a_grid_without_twins_is_not_spoken_of():
    points = grid(BASE, {"model.reparam": ["bn", "id", "dconv"], "seed": [0, 1]})
    assert twins_of(points) == []
    assert said(points) == []


def test_a_switch_that_cannot_act_is_named_with_where_and_why():
    relus = ["after_add", "after_dconv", "both"]
    points = grid(BASE, {"model.reparam": ["none", "bn"], "model.relu": relus, "seed": [0, 1]})
    count, line = said(points)
    assert count == "12 variants are 8 different trainings"
    assert line == (
        "model.relu cannot act where model.reparam=none (without branches there is no add that it"
        " could stand before): after_add, after_dconv, both are one training"
    )


def test_combinations_of_one_key_are_one_variant():
    letters = [{"model.module": m, "model.reparam": r} for m in ("a", None) for r in ("bn", "none")]
    points = [point(BASE, values) for values in letters]
    assert said(points) == [
        "4 combinations are 3 different variants",
        "where model.module=a: model.reparam=bn, model.reparam=none are one training",
    ]


def test_two_words_for_one_module_are_found_where_several_switches_differ():
    points = [
        point(BASE, {"model.module": "b", "model.reparam": "bn", "model.relu": "after_add"}),
        point(BASE, {"model.module": None, "model.reparam": "id", "model.relu": "after_dconv"}),
        point(BASE, {"model.module": None, "model.reparam": "bn", "model.relu": "after_add"}),
    ]
    count, line = said(points)
    assert count == "3 combinations are 2 different variants"
    assert line == (
        "model.module=b model.reparam=bn model.relu=after_add, model.module=null model.reparam=id"
        " model.relu=after_dconv are one training"
    )


def test_widths_that_come_to_the_same_channels_are_one_training():
    points = grid(BASE, {"model.width": [0.5, 0.501, 0.6]})
    assert said(points)[1] == "model.width=0.5, model.width=0.501 are one training"


def test_independent_causes_are_told_apart():
    points = grid(BASE, {"model.width": [0.5, 0.501], "recipe.color_jitter": [0.0, 0.4]})
    assert said(points) == [
        "4 variants are one training",
        "model.width=0.5, model.width=0.501 are one training",
        "recipe.color_jitter cannot act where data.kind=digits (digits are augmented by shift_px,"
        " hflip and random_erasing alone): 0.0, 0.4 are one training",
    ]


def test_where_nothing_is_trained_seeds_and_recipe_cannot_act():
    base = replace(BASE, recipe=RecipeSpec(epochs=0))
    points = grid(base, {"model.reparam": ["bn", "id"], "seed": [0, 1, 2]})
    assert said(points) == [
        "6 variants are 2 different networks",
        "seed cannot act where recipe.epochs=0 (nothing is trained): 0, 1, 2 are one network",
    ]


def test_a_switch_without_effect_is_named_also_where_it_has_no_twin():
    base = replace(BASE, model=RepGhostNetSpec(relu="both"))
    (line,) = said(grid(base, {"model.reparam": ["none", "bn"], "seed": [0, 1]}))
    assert line.startswith("model.relu=both acts as after_add where model.reparam=none (")
    assert line.endswith("): 2 variants")


def test_one_run_timed_in_two_ways_is_not_a_twin():
    assert twins_of(grid(BASE, {"latency.batch_size": [1, 8]})) == []


def test_of_very_many_lines_a_few_are_said_and_the_plan_has_the_rest():
    widths = [width + step for width in range(1, 9) for step in (0.0, 0.0005)]
    points = grid(BASE, {"model.width": [width / 4 for width in widths]})
    assert len(sentences(points)) == 9
    lines = said(points, most=4)
    assert len(lines) == 4
    assert lines[-1] == "6 more such lines: plan=true prints them"


@pytest.fixture
def photographs(tmp_path: Path) -> DataSpec:
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for name in ("cat", "dog"):
            (tmp_path / split / name).mkdir(parents=True)
            for index in range(4):
                pixels = rng.integers(0, 255, (48, 40, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / split / name / f"{index}.png")
    return DataSpec("folder", str(tmp_path), num_classes=2, input_size=32)


def pixels(settings: Settings) -> bytes:
    """All that a run sees of its data in one epoch."""
    source = open_source(settings.data, settings.recipe, settings.seed)
    batches = [*list(source.train(0, 0))[:4], *source.val()]
    return b"".join(batch.images.contiguous().numpy().tobytes() for batch in batches)


def with_other(settings: Settings, switch: str) -> Settings:
    return point(settings, {switch: OTHER[switch]}).settings


def changed(settings: Settings, switches) -> dict[str, bool]:
    return {s: pixels(with_other(settings, s)) != pixels(settings) for s in switches}


def told(settings: Settings, switches) -> dict[str, bool]:
    return {s: trains_as(with_other(settings, s)) != trains_as(settings) for s in switches}


def test_what_digits_do_not_read_is_what_is_said():
    settings = replace(BASE, recipe=AUGMENTED)
    assert changed(settings, OTHER) == told(settings, OTHER)
    assert {switch for switch, acts in told(settings, OTHER).items() if not acts} == {
        *UNREAD["digits"]
    }


@pytest.mark.parametrize("augment", [None, "rand-m9", "3a"])
def test_what_photographs_do_not_read_is_what_is_said(photographs, augment):
    recipe = replace(AUGMENTED, auto_augment=augment, color_jitter=0.4)
    settings = replace(BASE, data=photographs, recipe=recipe)
    switches = [name for name in OTHER if name not in ("data.root", "data.name")]
    switches = [name for name in switches if augment is None or name != "recipe.auto_augment"]
    assert changed(settings, switches) == told(settings, switches)


@pytest.mark.parametrize("warmup_epochs", [0.0, 1.0])
def test_the_warm_up_s_rate_acts_where_there_is_a_warm_up(warmup_epochs):
    recipe = RecipeSpec(epochs=3, warmup_epochs=warmup_epochs)
    slow, fast = (replace(recipe, warmup_lr=lr) for lr in (1e-4, 1e-2))
    acts = first_rate(slow) != first_rate(fast)
    said_to_act = trains_as(replace(BASE, recipe=slow)) != trains_as(replace(BASE, recipe=fast))
    assert acts == said_to_act == (warmup_epochs > 0)


def first_rate(recipe: RecipeSpec) -> float:
    source = open_source(DataSpec(), recipe, 0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 10))
    training = Training(model, source, recipe, 0, torch.device("cpu"))
    training.train_step(next(source.train(0, 0)))
    return training.optimizer.param_groups[0]["lr"]


def test_machines_settings_make_no_other_training():
    moved = replace(BASE, data=DataSpec(workers=7), recipe=RecipeSpec(checkpoint_every_s=5))
    assert trains_as(moved) == trains_as(BASE)


@pytest.mark.parametrize(
    "values", [{"seed": 1}, {"recipe.lr": 0.1}, {"recipe.dropout": 0.0}, {"data.input_size": 64}]
)
def test_what_decides_a_result_makes_another_training(values):
    assert trains_as(point(BASE, values).settings) != trains_as(BASE)


def test_planning_imports_no_torch():
    code = (
        "import sys; from repghost.settings import Settings; import repghost.sweep.plan.plan;"
        "from repghost.sweep.space.points import Point;"
        "from repghost.sweep.plan.twins import sentences;"
        "sentences([Point({'seed': 0}, Settings())] * 2);"
        "sys.exit('torch' in sys.modules or 'optuna' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
