"""The sweepers as a user meets them: `launch.py -m` in a process of its own; nothing is started."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

LAUNCH = Path(__file__).parents[2] / "launch.py"
SEARCH = "hydra/sweeper=search"


def launch(folder: Path, *words: str, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, str(LAUNCH), "-m", *words],
        cwd=folder,
        env={**os.environ, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["seed=0,1", "n_trials=3"], "n_trials=3: a grid runs every combination"),
        (["n_trials=3,4"], "n_trials=3,4: n_trials is the whole sweep's; give it one value"),
        (["sweep.refine=1,2"], "sweep.refine is the whole sweep's; give it one value"),
        (["sweep.cohort=1,6"], "sweep.cohort is the whole sweep's; give it one value"),
        (["model.width=interval(1,2)"], "model.width=interval(1,2): a grid needs values"),
        ([SEARCH, "seed=0,1"], "hydra/sweeper=search needs n_trials=N"),
        ([SEARCH, "n_trials=3"], "nothing to search"),
        (
            [SEARCH, "n_trials=3", "data=coco_tiny", "task=retinanet,maskrcnn"],
            "those of several tasks are not comparable: search one task at a time",
        ),
        (
            [SEARCH, "n_trials=3", "+sweeps=table4", "recipe=none"],
            "those of several tasks are not comparable: search one task at a time",
        ),
        (
            [SEARCH, "n_trials=3", "seed=0,1", "hydra.sweeper.sampler=grid"],
            "hydra.sweeper.sampler=grid: allowed are tpe, nsga2, random",
        ),
        (
            [SEARCH, "n_trials=3", "seed=0,1", "hydra.sweeper.seed=x"],
            "hydra.sweeper.seed=x: must be a whole number",
        ),
        (
            ["seed=0,1", "hydra.sweeper.exclude=['model.modul=a']"],
            "exclude 'model.modul=a': unknown key model.modul; did you mean model.module",
        ),
        (["seed=0,1", "hydra.sweeper.exclude='seed<5'"], "exclude leaves none of 2 combinations"),
        (["seed=0,1", "hydra/launcher=submitit_slurm"], "use hydra/launcher=local"),
        (["seed=0,1", "study=../up"], "study=../up: use letters, digits"),
    ],
)
def test_what_cannot_be_swept_is_one_clear_line(tmp_path, words, said):
    line = launch(tmp_path, *words, code=2)
    assert line.startswith("error: ") and said in line and line.count("\n") == 1
    assert not (tmp_path / "outputs").exists()


def test_the_plan_of_a_grid_says_what_is_left_out(tmp_path):
    exclude = "hydra.sweeper.exclude=['seed>0 model.width=0.1','seed=7']"
    said = launch(tmp_path, "seed=0,1", "model.width=0.1,0.2", exclude, "plan=true")
    assert "exclude leaves out 1 of 4 combinations" in said
    assert "exclude 'seed=7': leaves out none of 4 combinations" in said
    assert "3 variants" in said


def test_the_plan_of_a_search_lists_what_may_be_suggested(tmp_path):
    words = (SEARCH, "n_trials=2", "model.width=range(0.1,0.4,0.1)", "plan=true")
    said = launch(tmp_path, *words)
    assert "a search, tpe: 2 of 3 combinations of model.width" in said
    assert "3 variants" in said


def test_a_search_of_one_task_that_is_not_a_classifiers_is_planned(tmp_path):
    words = (SEARCH, "n_trials=2", "task=retinanet", "data=coco_tiny", "recipe=none")
    said = launch(tmp_path, *words, "data.num_classes=10", "model.width=0.1,0.2", "plan=true")
    assert "a search, tpe: 2 of 2 combinations of model.width" in said


def test_the_plan_of_an_endless_search_says_so(tmp_path):
    words = (SEARCH, "hydra.sweeper.sampler=nsga2", "model.width=interval(0.1,0.4)", "n_trials=9")
    said = launch(tmp_path, *words, "plan=true")
    assert "a search, nsga2: 9 of endlessly many combinations of model.width" in said
    assert "nothing was started" in said


def test_a_sweep_file_can_leave_combinations_out(tmp_path):
    (tmp_path / "own" / "sweeps").mkdir(parents=True)
    (tmp_path / "own" / "sweeps" / "mine.yaml").write_text(
        "# @package _global_\n"
        "hydra:\n"
        "  sweeper:\n"
        "    params: {model.module: 'a,c', seed: '0,1'}\n"
        "    exclude: [model.module=a seed=1]\n"
    )
    said = launch(tmp_path, f"hydra.searchpath=[{tmp_path}/own]", "+sweeps=mine", "plan=true")
    assert "exclude leaves out 1 of 4 combinations" in said and "3 variants" in said


def test_composing_a_space_imports_neither_torch_nor_optuna():
    code = (
        "import sys; import repghost.sweep.space.points, hydra_plugins.repghost_sweeper\n"
        "assert not {'torch', 'optuna', 'sqlalchemy'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=LAUNCH.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
