"""A detector from its settings to its scores, killed and resumed, in everybody's engine."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir

from repghost import trial
from repghost.deploy.runtime import MnnNetwork
from repghost.detection.goal import DetectorGoal
from repghost.detection.source import CocoSource, opened
from repghost.detection.spec import TaskSpec
from repghost.interrupt import Stop
from repghost.latency.spec import LatencySpec, StorageSpec
from repghost.latency.store import Store
from repghost.models.registry import build
from repghost.models.repghost_spec import RepGhostNetSpec
from repghost.preparation import build_network
from repghost.run import Run
from repghost.settings import Settings, settings_from
from repghost.steps import next_step
from repghost.timing import Timings
from repghost.tracking.spec import TrackingSpec
from repghost.training.engine import Training
from repghost.training.loop import train
from repghost.training.ranks import ALONE
from repghost.training.spec import DataSpec, RecipeSpec
from repghost.variant import Variant

CONF = Path(__file__).parents[2] / "conf"
RECIPE = RecipeSpec(
    epochs=1, batch_size=4, lr=0.01, lr_batch=4, warmup_epochs=0, ema_decay=0, nesterov=False
)


def settings(tiny: Path, folder: Path, kind: str) -> Settings:
    return Settings(
        model=RepGhostNetSpec(width=0.1, num_classes=10),
        data=DataSpec(kind="coco", root=str(tiny), input_size=96, max_size=96),
        recipe=RECIPE,
        task=TaskSpec(kind, fpn_chs=16, head_chs=32, score_threshold=0.0, detections=20),
        outputs=str(folder),
        latency=LatencySpec(max_rounds=10, wait_s=0),
        tracking=TrackingSpec(kind="none"),
        storage=StorageSpec(f"sqlite:///{folder}/latency.db"),
    )


@pytest.mark.parametrize("kind", ["retinanet", "maskrcnn"])
def test_a_detector_leaves_scores_certificates_and_two_latencies(kind, tiny, tmp_path):
    chosen = settings(tiny, tmp_path, kind)
    run, said = Run(chosen.outputs, chosen.variant.key), []
    for stage in ("prepare", "measure", "train"):
        assert next_step(chosen, run, Timings(Store(chosen.storage.url))) == stage
        trial.run_stage(chosen, stage, 1, say=said.append)
    end = next_step(chosen, run, Timings(Store(chosen.storage.url)))
    result, evidence = run.result(), run.certificate()
    assert end.state == "finished" and end.score == result["map"]
    assert 0 <= result["map"] <= result["ap50"] <= 100 and "top1" not in result
    assert ("mask_map" in result) == (kind == "maskrcnn")
    assert evidence["untrained"]["passed"] and evidence["trained"]["passed"]
    assert MnnNetwork(run.mnn).input_shape == (1, 3, 96, 96)
    graph = evidence["deployed"]["1x3x96x96"]
    assert 0 < graph["backbone"]["macs"] < graph["macs"]
    found = {
        one.identity.fingerprint: one
        for one in Store(chosen.storage.url).of(run.graphs(chosen.timed_shape))
    }
    whole, backbone = (found[name].latency_ms for name in run.graphs(chosen.timed_shape))
    assert 0 < backbone < whole
    assert any("box mAP" in line for line in said)
    seen = json.loads(run.examples.read_text())
    kinds = ["bbox", "bbox", "segm", "segm"] if chosen.task.masks else ["bbox", "bbox"]
    assert [curve["kind"] for curve in seen["curves"]] == kinds and len(seen["pictures"]) == 6


def test_a_backbone_starts_from_the_weights_of_a_classifiers_run_of_other_classes(tiny, tmp_path):
    network = build(RepGhostNetSpec(width=0.1, num_classes=7))
    folder = tmp_path / "runs" / "abc"
    folder.mkdir(parents=True)
    torch.save({"model": network.state_dict()}, folder / "checkpoint.pt")
    (folder / "result.json").write_text("{}")
    variant = Variant(RepGhostNetSpec(width=0.1, num_classes=7), DataSpec(), RecipeSpec(), 0)
    (folder / "config.yaml").write_text(json.dumps(variant.config()))
    words = ["task=retinanet", "data=coco_tiny", "recipe=none", "model.from_run=abc"]
    words += [f"outputs={tmp_path}"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        chosen = settings_from(compose("config", [*words, "model.width=0.1"]))
        with pytest.raises(ValueError, match=r"model\.from_run=abc: that run is RepGhostNet 0\.1x"):
            settings_from(compose("config", [*words, "model.width=0.2"]))
        with pytest.raises(ValueError, match=r"model\.from_run=abd: .*abd is no finished run"):
            settings_from(compose("config", [*words, "model.from_run=abd"]))
    detector = build_network(chosen)
    stem = detector.backbone.features.stages[0][0].conv.weight
    assert torch.equal(stem, network.stem.conv.weight)
    assert chosen.variant.config()["model"]["weights_digest"]


class Killed(BaseException):
    """Stands for kill -9."""


class Dying(CocoSource):
    """Dies before a step."""

    dies_at: int | None = None

    def train(self, epoch, start):
        for step, batch in enumerate(super().train(epoch, start), start):
            if step == self.dies_at:
                raise Killed
            yield batch


def trained(chosen: Settings, folder: Path, dies_at: int | None = None) -> Training:
    source = Dying(chosen.data, chosen.recipe, 1, chosen.task.masks)
    source.dies_at = dies_at
    goal = DetectorGoal(chosen.task, opened(chosen.data, "val"))
    torch.manual_seed(1)
    device = torch.device("cpu")
    training = Training(build_network(chosen), source, chosen.recipe, 1, device, ALONE, goal=goal)
    train(training, folder, "key", lambda record: None, Stop())
    return training


@pytest.mark.parametrize("kind", ["retinanet", "maskrcnn"])
def test_a_kill_between_two_steps_changes_no_bit_and_no_score(kind, tiny, tmp_path):
    chosen = settings(tiny, tmp_path, kind)
    chosen = replace(chosen, recipe=replace(RECIPE, checkpoint_every_s=1e-9))
    whole = trained(chosen, tmp_path / "whole")
    with pytest.raises(Killed):
        trained(chosen, tmp_path / "killed", dies_at=2)
    resumed = trained(chosen, tmp_path / "killed")
    expected = whole.scored.state_dict()
    found = resumed.scored.state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    lines = [
        json.loads((tmp_path / name / "metrics.jsonl").read_text()) for name in ("whole", "killed")
    ]
    for line in lines:
        del line["seconds"], line["waited_s"]
    assert lines[0] == lines[1] and lines[0]["map"] is not None


def test_milestones_divide_the_rate_by_ten_behind_a_linear_warm_up(tiny, tmp_path):
    chosen = settings(tiny, tmp_path, "retinanet")
    recipe = replace(RECIPE, epochs=6, warmup_epochs=1.0, warmup_lr=0.001, milestones="3+5")
    goal = DetectorGoal(chosen.task, opened(chosen.data, "val"))
    source = CocoSource(chosen.data, recipe, 1, masks=False)
    cpu = torch.device("cpu")
    training = Training(build_network(chosen), source, recipe, 1, cpu, ALONE, goal=goal)
    rates = {}
    for training.epoch in range(6):
        for training.step in range(source.steps):
            training._set_lr()
            rates[training.epoch, training.step] = training.optimizer.param_groups[0]["lr"]
    assert [rates[0, step] for step in range(3)] == pytest.approx([0.001, 0.004, 0.007])
    assert rates[1, 0] == rates[2, 2] == pytest.approx(0.01)
    assert rates[3, 0] == rates[4, 2] == pytest.approx(0.001)
    assert rates[5, 0] == rates[5, 2] == pytest.approx(0.0001)


class Oracle(torch.nn.Module):
    """Gives what the targets say, in the labels of a detector whose first one is `first`."""

    def __init__(self, targets, first: int) -> None:
        super().__init__()
        self.targets, self.first = targets, first

    def forward(self, images):
        return [
            {
                "boxes": one["boxes"],
                "labels": one["labels"] + self.first,
                "scores": torch.ones(len(one["labels"])),
            }
            for one in self.targets
        ]


@pytest.mark.parametrize(("kind", "first"), [("retinanet", 0), ("maskrcnn", 1)])
def test_perfect_boxes_in_a_detectors_own_labels_score_a_hundred(kind, first, tiny, tmp_path):
    chosen = settings(tiny, tmp_path, kind)
    source = CocoSource(chosen.data, RECIPE, 1, masks=False)
    goal = DetectorGoal(replace(chosen.task, kind=kind), opened(chosen.data, "val"))
    goal._kinds = ("bbox",)  # the oracle draws no masks
    found = [
        line
        for batch in source.val()
        for line in goal.detections(Oracle(batch.targets, first), batch, torch.device("cpu"))
    ]
    assert goal.averages(found).scores["map"] == pytest.approx(100)
