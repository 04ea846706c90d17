"""One variant's three stages in this process, on a network a tenth as wide."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import repghost.deploy.fuse
from repghost import trial
from repghost.cores import cores_of_job
from repghost.deploy.runtime import MnnNetwork
from repghost.failures import reason_of
from repghost.latency.profile import read_profiles
from repghost.latency.spec import LatencySpec, StorageSpec
from repghost.latency.store import Store
from repghost.models.registry import build
from repghost.models.repghost_spec import GhostNetSpec, RepGhostNetSpec
from repghost.preparation import build_network
from repghost.profiling import profile_path
from repghost.run import Run
from repghost.settings import Settings
from repghost.steps import next_step
from repghost.timing import Timings
from repghost.tracking.spec import TrackingSpec
from repghost.training.spec import RecipeSpec

RECIPE = RecipeSpec(epochs=1, warmup_epochs=0, batch_size=128)


def settings(folder: Path, **model: object) -> Settings:
    spec = RepGhostNetSpec(**{"width": 0.1, "num_classes": 10, **model})
    return Settings(
        model=spec,
        recipe=RECIPE,
        outputs=str(folder),
        latency=LatencySpec(max_rounds=30, wait_s=0.1),
        tracking=TrackingSpec(kind="none"),
        storage=StorageSpec(f"sqlite:///{folder}/latency.db"),
    )


def run_of(chosen: Settings) -> Run:
    return Run(chosen.outputs, chosen.variant.key)


def time_it(chosen: Settings, say=lambda line: None) -> None:
    for stage in ("prepare", "measure"):
        trial.run_stage(chosen, stage, 1, say=say)


def latency_of(chosen: Settings):
    return Timings(Store(chosen.storage.url)).latency(chosen, run_of(chosen))


def certificate(chosen: Settings) -> dict:
    return json.loads((run_of(chosen).folder / "certificate.json").read_text())


def test_a_variant_leaves_a_scored_certified_network_that_mnn_runs(tmp_path):
    chosen = settings(tmp_path)
    for stage in ("prepare", "measure", "train"):
        trial.run_stage(chosen, stage, 1, say=lambda line: None)
    run = run_of(chosen)
    result, evidence = run.result(), certificate(chosen)
    assert 0 <= result["top1"] <= result["top5"] <= 100
    assert evidence["untrained"]["passed"]
    assert evidence["trained"]["passed"]
    assert evidence["trained"]["inputs"] == trial.CERTIFIED_IMAGES
    assert MnnNetwork(run.mnn).input_shape == (1, 3, 32, 32)
    names = {path.name for path in run.folder.iterdir() if not path.name.startswith("run.lock")}
    assert names == {
        "config.yaml",
        "checkpoint.pt",
        "metrics.jsonl",
        "model.onnx",
        "model.mnn",
        "certificate.json",
        "result.json",
    }


def test_variants_that_deploy_to_one_graph_are_timed_once(tmp_path):
    said = []
    for branch in ("bn", "id", "dconv+bn"):
        time_it(settings(tmp_path, reparam=branch), said.append)
    timed = [line for line in said if "times repghostnet" in line]
    assert len(timed) == 1
    time_it(settings(tmp_path, relu="both"), said.append)
    assert len([line for line in said if "times repghostnet" in line]) == 2


def test_variants_that_wait_together_are_timed_in_one_session(tmp_path):
    both = [settings(tmp_path), settings(tmp_path, width=0.2)]
    for chosen in both:
        trial.run_stage(chosen, "prepare", 1, say=lambda line: None)
    trial.run_stage(both[0], "measure", 1, say=lambda line: None)
    first, second = map(latency_of, both)
    assert first.session == second.session
    assert first.latency_ms < second.latency_ms


def test_an_input_size_of_its_own_is_measured_beside_the_data_size(tmp_path):
    small = settings(tmp_path)
    large = replace(small, latency=replace(small.latency, input_size=64))
    assert small.variant.key == large.variant.key
    for chosen in (small, large):
        time_it(chosen)
    deployed = certificate(small)["deployed"]
    assert set(deployed) == {"1x3x32x32", "1x3x64x64"}
    near, far = deployed["1x3x32x32"], deployed["1x3x64x64"]
    assert near["fingerprint"] != far["fingerprint"]
    assert far["macs"] > 2 * near["macs"]


@pytest.mark.parametrize("stage", ["prepare", "train"])
def test_a_fusion_that_is_wrong_fails_the_run_with_the_number(tmp_path, monkeypatch, stage):
    chosen = settings(tmp_path)
    if stage == "train":
        time_it(chosen)
    real = repghost.deploy.fuse.fuse

    def forgetful(model, image):
        fused = real(model, image)
        with torch.no_grad():
            fused.stem[0].bias.add_(1.0)
        return fused

    monkeypatch.setattr(repghost.deploy.fuse, "fuse", forgetful)
    with pytest.raises(ValueError, match="relative error"):
        trial.run_stage(chosen, stage, 1, say=lambda line: None)
    run = run_of(chosen)
    assert "relative error" in run.error()
    assert "tolerance is 0.0001" in run.error()
    assert run.result() is None
    if stage == "prepare":
        assert run.deployed((1, 3, 32, 32)) is None, "what is not certified is not deployed"


def test_a_full_disk_is_named_and_is_no_failure_of_the_code(tmp_path, monkeypatch):
    def full(state, path):
        raise OSError(28, "No space left on device", "checkpoint")

    monkeypatch.setattr(torch, "save", full)
    chosen = settings(tmp_path)
    with pytest.raises(OSError, match="No space") as raised:
        trial.run_stage(chosen, "train", 1, say=lambda line: None)
    assert reason_of(raised.value) == "the disk is full (checkpoint)"
    assert run_of(chosen).error() is None, "it will be run again"


def test_a_finished_run_is_not_trained_again(tmp_path, monkeypatch):
    chosen = settings(tmp_path)
    trial.run_stage(chosen, "train", 1, say=lambda line: None)
    before = (run_of(chosen).folder / "metrics.jsonl").stat().st_mtime_ns
    trial.run_stage(chosen, "train", 1, say=lambda line: None)
    assert (run_of(chosen).folder / "metrics.jsonl").stat().st_mtime_ns == before


def test_measuring_a_trained_variant_anew_leaves_its_trained_network(tmp_path):
    chosen = settings(tmp_path)
    for stage in ("prepare", "measure", "train"):
        trial.run_stage(chosen, stage, 1, say=lambda line: None)
    trained = run_of(chosen).mnn.read_bytes()
    paper = replace(chosen, latency=replace(chosen.latency, protocol="paper"))
    time_it(paper)
    assert run_of(chosen).mnn.read_bytes() == trained


def test_a_run_that_fails_is_tracked_too(tmp_path):
    recipe = replace(RECIPE, lr=1e30)
    chosen = replace(settings(tmp_path), recipe=recipe, tracking=TrackingSpec(kind="wandb"))
    with pytest.raises(ValueError, match="loss is"):
        trial.run_stage(chosen, "train", 1, say=lambda line: None)
    assert list(run_of(chosen).folder.glob("wandb/**/*.wandb"))


def test_a_variant_over_the_latency_budget_is_tracked_too(tmp_path):
    slow = replace(settings(tmp_path), tracking=TrackingSpec(kind="wandb"))
    within = replace(slow, latency=replace(slow.latency, max_ms=1e6))
    time_it(within)
    assert not list(run_of(slow).folder.glob("wandb/**/*.wandb"))
    over = replace(slow, latency=replace(slow.latency, max_ms=1e-6))
    time_it(over)
    assert list(run_of(slow).folder.glob("wandb/**/*.wandb"))


def test_a_recipe_of_no_epochs_ends_with_the_latency(tmp_path):
    chosen = replace(settings(tmp_path), recipe=RecipeSpec(epochs=0))
    chosen = replace(chosen, tracking=TrackingSpec(kind="wandb"))
    time_it(chosen)
    assert trial.ends_as(chosen, latency_ms=1.0, ratio=None) == "measured"
    over = replace(chosen, latency=replace(chosen.latency, max_ms=0.5))
    assert trial.ends_as(over, latency_ms=1.0, ratio=None) == "pruned"
    assert trial.ends_as(settings(tmp_path), latency_ms=1.0, ratio=None) is None
    assert list(run_of(chosen).folder.glob("wandb/**/*.wandb"))


def test_a_profile_asked_for_is_taken_once_beside_the_reference(tmp_path):
    chosen = replace(settings(tmp_path), recipe=RecipeSpec(epochs=0))
    time_it(chosen)
    assert latency_of(chosen)
    limits = replace(chosen.latency, profile=True, max_seconds=0.1)
    profiled = replace(chosen, latency=limits)
    timings = Timings(Store(chosen.storage.url))
    assert next_step(profiled, run_of(profiled), timings) == "prepare", "the profile is missing"
    time_it(profiled)
    assert next_step(profiled, run_of(profiled), timings).state == "measured"
    found = latency_of(profiled)
    path = profile_path(profiled, found.identity.fingerprint, timings)
    model, reference = read_profiles(path)
    assert model.fingerprint == found.identity.fingerprint
    assert model.rounds == reference.rounds == 10
    assert reference.network.startswith("repghostnet-0.5x")
    before = path.stat().st_mtime_ns
    time_it(profiled)
    assert path.stat().st_mtime_ns == before


@pytest.mark.parametrize("start", ["random", "a checkpoint"])
def test_adds_are_profiled_beside_the_concatenations_that_they_replace(start, tmp_path):
    spec = GhostNetSpec(width=0.1, reuse="add", num_classes=10)
    if start == "a checkpoint":  # which the other network could not take
        torch.save(build(spec).state_dict(), tmp_path / "start.pt")
        spec = replace(spec, weights=str(tmp_path / "start.pt"), weights_digest="of start.pt")
    chosen = replace(settings(tmp_path), model=spec, recipe=RecipeSpec(epochs=0))
    limits = replace(chosen.latency, profile=True, max_seconds=0.1)
    profiled = replace(chosen, latency=limits)
    time_it(profiled)
    timings, found = Timings(Store(chosen.storage.url)), latency_of(profiled)
    path = profile_path(profiled, found.identity.fingerprint, timings)
    add, concat = read_profiles(path)
    assert add.rounds == concat.rounds
    assert sum(operator.kind == "Raster concat" for operator in concat.operators) == 32
    adds = [one for one in add.operators if one.kind == "BinaryOp add"]
    assert sum(one.layer.rpartition(".")[2].startswith("ghost") for one in adds) == 32
    assert not any(operator.kind == "Raster concat" for operator in add.operators)


def test_a_batch_is_timed_and_certified_as_a_batch(tmp_path):
    chosen = settings(tmp_path)
    batch = replace(chosen, latency=replace(chosen.latency, batch_size=3))
    for one in (chosen, batch):
        time_it(one)
    deployed = certificate(chosen)["deployed"]
    assert set(deployed) == {"1x3x32x32", "3x3x32x32"}
    assert deployed["1x3x32x32"]["macs"] == deployed["3x3x32x32"]["macs"]
    one, three = map(latency_of, (chosen, batch))
    assert three.latency_ms > 1.5 * one.latency_ms


def test_a_variant_starts_from_the_weights_it_is_given(tmp_path):
    chosen = settings(tmp_path)
    released = build_network(replace(chosen, seed=9)).state_dict()
    torch.save({"state_dict": released}, tmp_path / "released.pt")
    spec = replace(chosen.model, weights=str(tmp_path / "released.pt"))
    loaded = build_network(replace(chosen, model=spec)).state_dict()
    assert all(torch.equal(loaded[key], released[key]) for key in released)
    wider = replace(chosen, model=replace(spec, width=0.3))
    with pytest.raises(ValueError, match=r"do not fit RepGhostNet: .*, expected \("):
        time_it(wider)
    assert "do not fit" in run_of(wider).error()


def test_what_could_not_be_folded_is_said_beside_the_numbers(tmp_path):
    for relu, said in (("after_add", []), ("both", ["16 parts could not be folded"])):
        chosen = replace(settings(tmp_path, relu=relu), recipe=RecipeSpec(epochs=0))
        time_it(chosen)
        remarks = run_of(chosen).remarks()
        assert [remark[: len(said[0])] for remark in remarks] == said


@pytest.mark.parametrize(
    ("given", "cores"),
    [
        ({"SLURM_CPUS_PER_TASK": "3", "SLURM_CPUS_ON_NODE": "8"}, 3),
        ({"SLURM_CPUS_ON_NODE": "8"}, 8),
        ({"SLURM_CPUS_ON_NODE": "8", "SLURM_NTASKS_PER_NODE": "4"}, 2),
        ({"SLURM_CPUS_ON_NODE": "1", "SLURM_NTASKS_PER_NODE": "4"}, 1),
    ],
)
def test_a_task_of_a_job_uses_its_share_of_the_cores(given, cores, monkeypatch):
    for name in ("SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE", "SLURM_NTASKS_PER_NODE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert cores_of_job() == cores
