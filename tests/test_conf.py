"""Every file in conf/ and sweeps/ composes, and what decides a result decides the key."""

from dataclasses import replace
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from repghost.settings import Settings, settings_from

CONF = Path(__file__).parents[1] / "conf"
CHOICES = [
    f"{path.parent.relative_to(CONF)}={path.stem}"
    for path in sorted(CONF.glob("*/*.yaml"))
    if path.parent.name not in ("sweeper", "launcher", "sweeps")
]
NEEDS = {  # what a choice cannot do without
    "data=folder": "data.root={images}",
    "data=imagenet": "data.root={images}",
    "model=timm": "model.name=mobilenetv4_conv_small",
    "data=coco": "task=retinanet recipe=none",
    "data=coco_tiny": "task=retinanet recipe=none",
    "task=retinanet": "data=coco recipe=none",
    "task=maskrcnn": "data=coco recipe=none",
}
KEYS = {  # of runs that were made before there were detectors: they are found again
    "": "2c99bad903b2",
    "model=ghostnet": "7a75ebc45f2f",
    "data=imagenet recipe=none": "7e7ad34d7250",
    "recipe=paper": "4e129d134848",
    "model=mobilenetv3 model.size=large seed=3": "f1cee4c6290c",
    "model=ghost_res50 recipe=paper_res50": "fc68bd42a8cc",
    "model=timm model.name=resnet18": "73912e81810b",
}


def settings(*overrides: str) -> Settings:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return settings_from(compose("config", list(overrides)))


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for split in ("train", "val"):
        (tmp_path / split / "cat").mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice_composes(choice, images):
    words = NEEDS.get(choice, "seed=0").format(images=images).split()
    assert settings(choice, *words).variant.key


@pytest.mark.parametrize("words", KEYS)
def test_a_run_keeps_its_key_when_settings_are_added(words):
    assert settings(*words.split()).variant.key == KEYS[words]


DETECTOR = ("task=retinanet", "data=coco", "recipe=none")


@pytest.mark.parametrize(
    "words", [["task=maskrcnn"], ["task.fpn_chs=64"], ["data.max_size=800"], ["seed=1"]]
)
def test_what_decides_a_detector_changes_its_key(words):
    assert settings(*DETECTOR, *words).variant.key != settings(*DETECTOR).variant.key
    variant = settings(*DETECTOR, *words).variant
    assert type(variant).from_config(variant.config()).key == variant.key


def test_what_only_mask_rcnn_reads_leaves_the_key_of_a_retinanet():
    assert settings(*DETECTOR).variant.key == settings(*DETECTOR, "+task.head_chs=9").variant.key


def test_a_detector_is_timed_at_its_images_size_or_the_size_that_is_asked_for():
    assert settings(*DETECTOR).timed_shape == (1, 3, 800, 1344)
    assert settings(*DETECTOR, "latency.input_size=320").timed_shape == (1, 3, 320, 320)


def test_mmdetections_schedule_is_the_recipe_of_table_4():
    recipe = settings(*DETECTOR[:2], "recipe=coco_1x", "recipe.epochs=0").recipe
    assert (recipe.lr, recipe.lr_batch, recipe.falls_after) == (0.01, 16, (8, 11))
    assert round(recipe.warmup_epochs * 7330) == 500
    assert (recipe.momentum, recipe.weight_decay, recipe.sync_bn) == (0.9, 1e-4, True)
    other = settings("task=maskrcnn", "data=coco", "recipe=coco_1x_maskrcnn", "recipe.epochs=0")
    assert replace(other.recipe, lr=0.01) == recipe and other.recipe.lr == 0.02


def test_imagenet_needs_no_images_where_nothing_is_trained(monkeypatch):
    monkeypatch.delenv("IMAGENET_DIR", raising=False)
    composed = settings("data=imagenet", "recipe=none")
    assert composed.timed_shape == (1, 3, 224, 224) and composed.model.num_classes == 1000
    with pytest.raises(ValueError, match=r"data\.root=null: give the folder.*IMAGENET_DIR"):
        settings("data=imagenet")


def test_imagenet_is_found_through_the_environment(monkeypatch, images):
    monkeypatch.setenv("IMAGENET_DIR", str(images))
    assert settings("data=imagenet").data.root == str(images)


def test_the_defaults_of_the_files_are_those_of_the_code():
    composed = settings()
    assert composed.recipe == Settings().recipe
    assert composed.latency == Settings().latency
    assert replace(composed.data, crop_pct=0.875) == Settings().data


def test_the_paper_recipe_is_the_paper():
    recipe = settings("recipe=paper").recipe
    assert (recipe.epochs, recipe.lr, recipe.lr_batch, recipe.warmup_epochs) == (300, 0.6, 1024, 5)
    assert (recipe.momentum, recipe.weight_decay, recipe.ema_decay) == (0.9, 1e-5, 0.9999)
    assert (recipe.dropout, recipe.label_smoothing, recipe.random_erasing) == (0.2, 0.1, 0.2)


@pytest.mark.parametrize(
    "override",
    ["model.width=0.6", "model.reparam=id", "recipe.epochs=9", "seed=1", "data.input_size=64"],
)
def test_what_decides_a_result_changes_the_key(override):
    assert settings(override).variant.key != settings().variant.key


@pytest.mark.parametrize(
    "override",
    [
        "latency.protocol=paper",
        "outputs=elsewhere",
        "parallel=2",
        "tracking=none",
        "data.workers=3",
        "recipe.checkpoint_every_s=1",
        "study=other",
    ],
)
def test_what_does_not_decide_a_result_leaves_the_key(override):
    assert settings(override).variant.key == settings().variant.key


def test_classes_of_a_folder_are_those_of_its_network(images):
    composed = settings("data=folder", f"data.root={images}")
    assert composed.model.num_classes == composed.data.num_classes == 1


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("model.family=repghostnot", "model.family=repghostnot: allowed are repghostnet"),
        ("model.module=f", "model.module=f: RepGhostNet allows a, b, c, d, e"),
        ("data.input_size=16", "input_size=16: RepGhostNet 0.5x, branches bn needs at least 32"),
        ("latency.input_size=31", "input_size=31: RepGhostNet 0.5x, branches bn needs at least 32"),
        ("recipe.epochs=many", "recipe.epochs: Value 'many'"),
        ("latency.protocol=guess", "latency.protocol=guess: allowed are paired, paper"),
        ("tracking.kind=mlflow", "tracking.kind=mlflow: allowed are wandb, none"),
        ("parallel=0", "parallel=0: must be"),
        ("task=retinanet", "task=retinanet: needs boxes, which data.kind=digits has not"),
        ("task.kind=guess", "task=guess: allowed are train, validate, retinanet, maskrcnn"),
        ("+data.max_size=64", "data.max_size=64: data.kind=coco needs it, no other kind reads it"),
        ("+recipe.milestones=8+8", "recipe.milestones=8+8: must be rising epochs joined by +"),
        ("+model.widht=1", "Key 'widht' not in 'RepGhostNetSpec'"),
    ],
)
def test_a_value_that_is_not_allowed_is_named_with_the_allowed_ones(override, said):
    with pytest.raises(ValueError) as caught:
        settings(override)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["model.name=resnet17"], r"model\.name=resnet17: timm has no such network; .*resnet18"),
        (["model.name=vit_tiny_patch16_224"], r"input_size=32: timm vit_tiny.* cannot take it"),
        (["model.name=???"], "model.name: give the name of a network of timm"),
    ],
)
def test_a_network_of_timm_that_cannot_be_is_refused_when_the_config_is_composed(overrides, said):
    with pytest.raises(ValueError, match=said):
        settings("model=timm", *overrides)


def test_a_letter_of_figure_3_is_the_network_that_it_stands_for():
    assert settings("model.module=d").variant.key == settings().variant.key
    assert settings("model.module=c").variant.key == settings("model.reparam=id").variant.key
    assert settings("model.module=a").variant.key != settings("model.module=e").variant.key
    with pytest.raises(ValueError, match=r"model\.reparam=dconv: model\.module=b stands for"):
        settings("model.module=b", "model.reparam=dconv")


def test_a_checkpoint_counts_by_its_content_not_by_its_place(tmp_path):
    places = [tmp_path / name for name in ("a.pt", "b.pt", "c.pt")]
    for place, content in zip(places, (b"one", b"one", b"two"), strict=True):
        place.write_bytes(content)
    keys = [settings(f"model.weights={place}").variant.key for place in places]
    assert keys[0] == keys[1] != keys[2] != settings().variant.key
    with pytest.raises(ValueError, match=r"model\.weights=nowhere\.pt: no such file"):
        settings("model.weights=nowhere.pt")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["data=coco", "recipe=none"], r"data\.kind=coco: task=train needs classes; add task=ret"),
        ([*DETECTOR, "latency.input_size=300"], r"latency\.input_size=300: .* a multiple of 32"),
        (
            [*DETECTOR, "data.max_size=700"],
            r"data\.max_size=700: must be at least data\.input_size",
        ),
        ([*DETECTOR, "task.fpn_chs=0"], r"task\.fpn_chs=0: must be a number greater than 0"),
        ([*DETECTOR[:2], "recipe=coco_1x"], r"data\.root=.*: no instances_train2017\.json"),
    ],
)
def test_a_detector_that_cannot_be_is_refused_when_the_config_is_composed(words, said, monkeypatch):
    monkeypatch.delenv("COCO_DIR", raising=False)
    with pytest.raises(ValueError, match=said):
        settings(*words)
