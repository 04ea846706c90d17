"""A detector's checkpoint is scored as its run was, and one that does not fit is refused."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from test_one_variant import settings

from repghost import trial
from repghost.models.registry import build
from repghost.objective import BOX_MAP
from repghost.preparation import build_network
from repghost.run import Run
from repghost.settings import settings_from
from repghost.sweep.space.compose import Composer
from repghost.sweep.space.points import Space
from repghost.validation import validate

CONF = Path(__file__).parents[2] / "conf"


def saved(network: torch.nn.Module, path: Path) -> str:
    torch.save({"model": network.state_dict()}, path)
    return str(path)


@pytest.mark.parametrize("kind", ["retinanet", "maskrcnn"])
def test_our_own_checkpoint_scores_what_its_run_said(kind, tiny, tmp_path, capsys):
    chosen = settings(tiny, tmp_path, kind)
    run = Run(chosen.outputs, chosen.variant.key)
    trial.run_stage(chosen, "prepare", 1, say=lambda line: None)
    trial.run_stage(chosen, "train", 1, say=lambda line: None)
    result = run.result()
    before = sorted(path.name for path in run.folder.iterdir())
    capsys.readouterr()
    assert validate(replace(chosen, checkpoint=str(run.checkpoint))) == 0
    said, line = capsys.readouterr().out.splitlines()[-2:]
    found = json.loads(line)
    names = [name for name in BOX_MAP.scores if name in result]
    assert {name: found[name] for name in names} == pytest.approx(
        {name: result[name] for name in names}, abs=1e-6
    )
    assert ("mask_map" in found) == ("mask mAP" in said) == (kind == "maskrcnn")
    assert (found["images"], found["skipped"], found["task"]) == (6, 0, kind)
    assert "box mAP" in said and sorted(path.name for path in run.folder.iterdir()) == before


def test_another_task_network_or_number_of_classes_is_refused_with_what_differs(tiny, tmp_path):
    chosen = settings(tiny, tmp_path, "retinanet")
    path = saved(build_network(chosen), tmp_path / "a.pt")
    asked = replace(chosen, checkpoint=path)
    for change, said in (
        ({"task": replace(chosen.task, kind="maskrcnn")}, "of a RetinaNet: task=retinanet scores"),
        ({"task": replace(chosen.task, fpn_chs=32)}, "do not fit RetinaNet.*and task.fpn_chs"),
        ({"model": replace(chosen.model, width=0.2)}, "do not fit RetinaNet: .*of another shape"),
        ({"checkpoint": str(tmp_path / "none.pt")}, "none.pt: no such file"),
    ):
        with pytest.raises(ValueError, match=said):
            validate(replace(asked, **change))
    fewer = replace(chosen, model=replace(chosen.model, num_classes=7))
    saved(build_network(fewer), tmp_path / "a.pt")
    with pytest.raises(ValueError, match=r"a\.pt: is for 7 classes, the annotations .* have 10"):
        validate(asked)
    saved(build(chosen.model), tmp_path / "a.pt")
    with pytest.raises(ValueError, match="is of no detector: task=validate scores it, not task=re"):
        validate(asked)


def test_anchors_other_than_the_runs_are_noted(tiny, tmp_path, capsys):
    chosen = settings(tiny, tmp_path, "retinanet")
    path = saved(build_network(chosen), tmp_path / "a.pt")
    Run(tmp_path, "x").write_config(chosen.variant)
    (tmp_path / "runs/x/config.yaml").rename(tmp_path / "config.yaml")
    asked = replace(chosen, checkpoint=path)
    validate(asked)
    assert "note:" not in capsys.readouterr().out
    validate(replace(asked, task=replace(asked.task, anchor_scale=2.5)))
    assert "run had task.anchor_scale=4.0, here 2.5" in capsys.readouterr().out
    (tmp_path / "config.yaml").write_text("{")
    assert validate(asked) == 0


def composed(*words):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", list(words))


def test_only_validation_images_are_needed_and_what_makes_no_sense_is_a_line(tiny, tmp_path):
    for name in ("val2017", "annotations/instances_val2017.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(tiny / name)
    coco = ("data=coco_tiny", f"data.root={tmp_path}", "checkpoint=a.pt")
    assert settings_from(composed("task=retinanet", *coco)).validates
    with pytest.raises(ValueError, match=r"checkpoint=a\.pt: task=train starts from"):
        settings_from(composed("checkpoint=a.pt"))
    with pytest.raises(ValueError, match=r"task=validate needs classes; add task=retinanet or"):
        settings_from(composed("task=validate", *coco))
    space = Space((), {"task": "retinanet"} | dict(word.split("=") for word in coco))
    with pytest.raises(ValueError, match=r"checkpoint=a\.pt: is for one network; leave out -m"):
        space.points(Composer(lambda words: composed(*words)))


def test_a_detectors_checkpoint_under_task_validate_is_refused_with_its_task(tiny, tmp_path):
    chosen = settings(tiny, tmp_path, "maskrcnn")
    path = saved(build_network(chosen), tmp_path / "a.pt")
    asked = settings_from(composed("task=validate", "model.width=0.1", f"checkpoint={path}"))
    with pytest.raises(ValueError, match="is of a Mask R-CNN; task=maskrcnn scores it"):
        validate(asked)
