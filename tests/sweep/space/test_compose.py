"""Composing many points at the price of a few must not be seen in what comes out."""

import functools
import json
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig

from repghost.settings import Settings, settings_from
from repghost.sweep.space.compose import Composer

CONF = Path(__file__).parents[3] / "conf"

# Every kind of override; of the values some are wrong for their key.
VALUES = {
    "model": ["repghostnet", "ghostnet", "mobilenetv2", "timm", "nonet"],
    "recipe": ["quick", "none", "paper"],
    "data": ["digits", "imagenet"],
    "tracking": ["none", "wandb"],
    "model.width": ["0.5", "1", "2.5", "1e-1", "-1", "wide", "null", "inf", "'0.75'", "true"],
    "model.reparam": ["bn", "id+bn", "bn+id", "none", "dconv+bn+id", "'bn'", "conv"],
    "model.module": ["a", "b", "c", "d", "e", "null", "f"],
    "model.relu": ["both", "after_add", "after_dconv"],
    "model.shortcut": ["true", "False", "0", "yes", "no", "maybe", "null"],
    "model.reuse": ["add", "concat"],
    "model.in_chs": ["1", "3", "${data.in_chs}"],
    "model.num_classes": ["7", "'7'", "7.5", "${data.num_classes}"],
    "model.name": ["resnet18", "mobilenetv4_conv_small", "???", "resnet17"],
    "model.family": ["repghostnet", "ghostnet"],
    "model.weights": ["null", "nowhere.pt"],
    "data.input_size": ["32", "64", "16"],
    "data.num_classes": ["10", "5", "null"],
    "data.workers": ["2"],
    "recipe.epochs": ["0", "1", "8", "2.0", "2.5"],
    "recipe.lr": ["1", "0.1", "${recipe.min_lr}", "1e30", "nan"],
    "recipe.warmup_epochs": ["0", "1", "7", "9"],
    "recipe.auto_augment": ["null", "None", "rand-m9-mstd0.5", "1"],
    "recipe.amp": ["none", "bf16", "true", "null"],
    "recipe.sync_bn": ["true", "1", "on"],
    "latency.devices": ["[local]", "[]", "local", "[local,local]"],
    "latency.max_ms": ["null", "3", "2.5", "0"],
    "latency.input_size": ["null", "224", "31"],
    "latency.batch_size": ["1", "8", "1.5"],
    "tracking.project": ["mine", "'my own'", "5", "null"],
    "storage.url": ["sqlite:///x.db", "sqlite:///${outputs}/y.db"],
    "stop.enough": ["3", "4"],
    "seed": ["0", "1", "17", "-1", "1.0", "1.5", "x", "null", "'3'"],
    "outputs": ["elsewhere", "${study}"],
    "study": ["s", "null", "'a b'", "${outputs}"],
    "parallel": ["2", "0"],
    "seeed": ["1"],
    "recipe.lrr": ["1"],
    "+recipe.lr": ["1"],
    "++seed": ["4"],
    "++recipe.lr": ["0.3"],
    "+model.extra": ["1"],
    "~model.se": ["null"],
    "hydra.job.name": ["j"],
}
# Few keys at a time, so that most combinations are allowed; several values, so that families form.
KEYS = st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=4, unique=True)


@pytest.fixture(scope="module")
def hydra() -> Iterator[None]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield


class Loader:
    """Hydra's full composition, counted."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, overrides: list[str]) -> DictConfig:
        self.calls += 1
        return compose("config", overrides)


def outcome(work) -> Settings | str:
    """Return what `work` returns, or the error that it raises, as text."""
    try:
        return work()
    except (ValueError, HydraException) as error:
        return f"{type(error).__name__}: {error}"


@functools.cache
def in_full(*overrides: str) -> Settings | str:
    return outcome(lambda: settings_from(compose("config", list(overrides))))


def check(composer: Composer, overrides: list[str]) -> None:
    full = in_full(*overrides)
    fast = outcome(lambda: composer.settings(overrides))
    assert repr(fast) == repr(full), overrides  # repr: 1 is not 1.0 and true is not 1
    if isinstance(fast, Settings):
        assert json.dumps(asdict(fast)) == json.dumps(asdict(full))  # nothing of OmegaConf's


@settings(
    max_examples=30, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
@given(data=st.data())
def test_a_point_is_what_hydra_composes_or_the_same_error(hydra, data):
    composer, keys = Composer(Loader()), data.draw(KEYS)
    for _ in range(3):
        check(composer, [f"{key}={data.draw(st.sampled_from(VALUES[key]))}" for key in keys])


@pytest.mark.parametrize("key", sorted(VALUES))
def test_every_value_of_a_key_after_every_other_is_as_composed_alone(hydra, key):
    composer = Composer(Loader())
    for value in (*VALUES[key], VALUES[key][0]):
        check(composer, [f"{key}={value}", "tracking.entity=e"])


@pytest.mark.parametrize(
    "words",
    [
        ["model.module={}", "model.reparam=bn"],
        ["model.module={}", "model=ghostnet"],
        ["seed={}", "++seed=5"],
        ["++seed={}", "seed=5"],
        ["seed=5", "seed={}"],
        ["model.in_chs={}", "data.in_chs=3"],
        ["outputs={}", "study=${outputs}"],
        ["seed={}", "study=s${seed}"],
        ["latency.batch_size={}", "stop.enough=${.points}"],
        ["recipe.epochs={}", "data=imagenet"],
    ],
)
def test_overrides_that_touch_each_other_are_as_composed(hydra, words):
    composer = Composer(Loader())
    for value in ("1", "3", "null", "a", "b", "1"):
        check(composer, [word.replace("{}", value) for word in words])


def test_a_relative_interpolation_and_one_of_a_whole_group_are_followed(hydra):
    composer = Composer(Loader())
    for width in ("0.5", "0.75", "0.5"):
        check(composer, ["model.ratio=${.width}", f"model.width={width}"])
        check(composer, [f"model.width={width}", "recipe.auto_augment=${model}"])
        check(composer, [f"model.width={width}", "model.ratio=${model[width]}"])


def test_points_that_give_different_keys_do_not_inherit_from_each_other(hydra):
    composer = Composer(Loader())
    for words in (
        ["model.width=0.7", "seed=1"],
        ["seed=2"],
        ["model.width=0.8"],
        ["recipe.lr=0.3", "model.width=0.9"],
        ["study=x", "parallel=1"],
        ["study=${parallel}", "parallel=2"],
        ["study=${parallel}", "parallel=3"],
        [],
    ):
        check(composer, words)


def test_a_thousand_seeds_are_composed_once_and_in_a_second_or_two(hydra):
    seconds = []
    for _ in range(3):  # a busy neighbour slows any one of them down
        loader = Loader()
        composer = Composer(loader)
        start = time.process_time()
        found = [composer.settings(["model=ghostnet", f"seed={seed}"]) for seed in range(1000)]
        seconds.append(time.process_time() - start)
        assert [one.seed for one in found] == list(range(1000))
        assert loader.calls == 1
    assert min(seconds) < 2.0


def test_a_search_over_floats_is_composed_once_a_group(hydra):
    loader = Loader()
    composer = Composer(loader)
    for step in range(50):
        family = ("ghostnet", "repghostnet")[step % 2]
        composer.settings([f"model={family}", f"model.width={0.5 + step / 100}", "recipe.lr=0.1"])
    assert loader.calls == 2


def test_what_an_interpolation_looks_at_is_composed_once_a_value(hydra):
    loader = Loader()
    composer = Composer(loader)
    for seed in range(20):
        composer.settings([f"seed={seed}", f"outputs=out{seed % 2}"])
    assert loader.calls == 2


def test_the_classes_of_a_folder_are_counted_only_where_it_is_trained_on(hydra, tmp_path: Path):
    composer = Composer(Loader())
    words = ["data=folder", f"data.root={tmp_path}", "data.num_classes=10"]
    for _ in range(2):
        for epochs in ("1", "0"):
            check(composer, [*words, f"recipe.epochs={epochs}"])


def test_the_classes_that_were_counted_are_the_models(hydra, tmp_path: Path):
    for folder in ("train/cat", "train/dog", "val/cat"):
        (tmp_path / folder).mkdir(parents=True)
    composer = Composer(Loader())
    for width in ("0.5", "1.0"):
        words = ["data=folder", f"data.root={tmp_path}", f"model.width={width}"]
        check(composer, words)
        assert composer.settings(words).model.num_classes == 2


def test_a_checkpoint_is_that_of_the_composed_settings(hydra, tmp_path: Path, monkeypatch):
    (tmp_path / "a.pt").write_bytes(b"content")
    monkeypatch.chdir(tmp_path)
    composer = Composer(Loader())
    for width in ("0.5", "1.0"):
        words = ["model.weights=a.pt", f"model.width={width}"]
        check(composer, words)
        assert composer.settings(words).model.weights_digest


def test_an_interpolation_made_of_others_may_look_at_anything(hydra):
    def load(overrides: list[str]) -> DictConfig:
        config = compose("config", overrides)
        config.model.relu = "${tracking.${study}}"
        return config

    composer = Composer(load)
    for relu in ("both", "after_add", "both"):
        words = ["study=entity", f"tracking.entity={relu}"]
        assert composer.settings(words).model.relu == relu


def test_a_wrong_value_leaves_the_composer_as_it_was(hydra):
    composer = Composer(Loader())
    for seed in ("0", "x", "-1", "1", "1.5", "2"):
        check(composer, [f"seed={seed}", "model.width=0.3"])
