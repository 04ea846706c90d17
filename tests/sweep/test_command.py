"""`launch.py` as a user runs it: real processes, real kills, a network a tenth as wide."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

LAUNCH = Path(__file__).parents[2] / "launch.py"
SMALL = (
    *("model.width=0.1", "recipe.warmup_epochs=0", "study=s"),
    *("latency.max_rounds=30", "latency.wait_s=0"),
)


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    given = {word.split("=")[0] for word in arguments}
    small = [word for word in SMALL if word.split("=")[0] not in given]
    return subprocess.Popen(
        [sys.executable, str(LAUNCH), *arguments, *small],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def launch(folder: Path, *arguments: str, code: int = 0) -> str:
    process = start(folder, *arguments)
    said, _ = process.communicate(timeout=300)
    assert process.returncode == code, said
    return said


def rows(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "outputs/s/results.csv").open() as file:
        return {row.get("model.reparam") or row["seed"]: row for row in csv.DictReader(file)}


def epochs(folder: Path, key: str) -> list[str]:
    return (folder / f"outputs/runs/{key}/metrics.jsonl").read_text().splitlines()


def wait_for(condition, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def trainers(folder: Path) -> list[int]:
    """Return the pids of the jobs that were started from `folder` and are alive."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            is_job = b"repghost.sweep.jobs.work" in (entry / "cmdline").read_bytes()
            if is_job and (entry / "cwd").readlink() == folder:
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def test_a_sweep_trains_each_variant_once_and_an_added_value_runs_alone(tmp_path):
    said = launch(tmp_path, "-m", "model.reparam=bn,id", "recipe.epochs=1", "tracking=none")
    first = rows(tmp_path)
    assert set(first) == {"bn", "id"}
    assert {row["state"] for row in first.values()} == {"finished"}
    assert len({row["fingerprint"] for row in first.values()}) == 1
    assert len({row["latency_ms"] for row in first.values()}) == 1
    assert "deploy to one graph" in said
    files = {
        path: path.stat().st_mtime_ns for path in (tmp_path / "outputs/runs").rglob("result.json")
    }
    launch(tmp_path, "-m", "model.reparam=bn,id,relu", "recipe.epochs=1", code=2)
    launch(tmp_path, "-m", "model.reparam=bn,id,none", "recipe.epochs=1", "tracking=none")
    assert set(rows(tmp_path)) == {"bn", "id", "none"}
    assert {path: path.stat().st_mtime_ns for path in files} == files
    assert (tmp_path / "outputs/s/report.html").stat().st_size > 1e6


def test_a_killed_driver_is_continued_and_its_running_job_adopted(tmp_path):
    words = ("-m", "model.reparam=bn,id", "recipe.epochs=4", "tracking=none")
    driver = start(tmp_path, *words)
    wait_for(lambda: list(tmp_path.glob("outputs/runs/*/checkpoint.pt")))
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    orphan = trainer(tmp_path)
    assert orphan in trainers(tmp_path), "it lives on"
    launch(tmp_path, *words)
    finished = rows(tmp_path)
    assert {row["state"] for row in finished.values()} == {"finished"}
    for row in finished.values():
        assert len(epochs(tmp_path, row["key"])) == 4
    begun = [line for log in tmp_path.glob("outputs/s/jobs/*/log.out") for line in log.open()]
    begun = [line.partition(" begins on ")[0] for line in begun if " begins on " in line]
    assert len(begun) == len(set(begun)), "no stage of a variant was started twice"
    assert sum(line.endswith("train") for line in begun) == 2
    assert not Path(f"/proc/{orphan}").exists()


def test_a_killed_training_is_run_again_from_its_checkpoint_and_the_cause_is_kept(tmp_path):
    words = ("-m", "model.reparam=bn", "recipe.epochs=4", "tracking=none", "seed=0,1")
    driver = start(tmp_path, *words)
    wait_for(lambda: list(tmp_path.glob("outputs/runs/*/checkpoint.pt")))
    os.kill(trainer(tmp_path), signal.SIGKILL)
    said, _ = driver.communicate(timeout=300)
    assert driver.returncode == 0, said
    assert "requeued: killed by SIGKILL" in said
    for row in rows(tmp_path).values():
        assert row["state"] == "finished"
        assert [json.loads(line)["epoch"] for line in epochs(tmp_path, row["key"])] == [0, 1, 2, 3]


def test_without_requeues_a_killed_training_fails_and_the_same_command_goes_on(tmp_path):
    words = ("-m", "seed=0,1", "recipe.epochs=4", "tracking=none")
    driver = start(tmp_path, *words, "max_requeues=0", "recipe.checkpoint_every_s=1000")
    wait_for(lambda: "train begins" in log_of(tmp_path))
    os.kill(trainer(tmp_path), signal.SIGKILL)
    said, _ = driver.communicate(timeout=300)
    assert driver.returncode == 1
    assert "1 jobs in a row were lost without progress" in said
    assert {row["state"] for row in rows(tmp_path).values()} == {"failed", "finished"}
    launch(tmp_path, *words)
    assert {row["state"] for row in rows(tmp_path).values()} == {"finished"}


def trainer(folder: Path) -> int:
    """Return the process of the training that began last."""
    return int(re.findall(r"train begins on \S+, process (\d+)", log_of(folder))[-1])


def log_of(folder: Path) -> str:
    return "".join(log.read_text() for log in folder.glob("outputs/s/jobs/*/log.out"))


def test_ctrl_c_detaches_and_the_same_command_attaches(tmp_path):
    words = ("-m", "seed=0,1", "recipe.epochs=4", "tracking=none")
    driver = start(tmp_path, *words)
    wait_for(lambda: list(tmp_path.glob("outputs/runs/*/checkpoint.pt")))
    os.killpg(driver.pid, signal.SIGINT)  # as a terminal does: to the whole group
    said, _ = driver.communicate(timeout=60)
    assert driver.returncode == 130
    assert "detached: 1 running without this command; 1 not submitted yet" in said
    assert "python -m repghost.sweep stop s" in said
    assert trainer(tmp_path) in trainers(tmp_path), "the job goes on"
    launch(tmp_path, *words)
    assert log_of(tmp_path).count("train begins") == 2
    assert {row["state"] for row in rows(tmp_path).values()} == {"finished"}


def test_one_variant_that_fails_is_a_row_and_the_others_go_on(tmp_path):
    words = ("-m", "recipe.lr=0.1,1e30", "recipe.epochs=1", "tracking=none", "seed=0")
    said = launch(tmp_path, *words, code=1)
    assert "at epoch 0, step" in said
    with (tmp_path / "outputs/s/results.csv").open() as file:
        by_lr = {row["recipe.lr"]: row for row in csv.DictReader(file)}
    assert by_lr["0.1"]["state"] == "finished"
    assert by_lr["1e+30"]["state"] == "failed"
    assert "loss is" in by_lr["1e+30"]["error"]


def test_what_failed_in_its_code_is_not_tried_again_until_asked(tmp_path):
    words = ("-m", "recipe.lr=1e30", "recipe.epochs=1", "tracking=none", "seed=0,1")
    launch(tmp_path, *words, code=1)
    again = launch(tmp_path, *words, code=1)
    assert "queued" not in again and "retry=failed does it" in again
    assert "queued" in launch(tmp_path, *words, "retry=failed", code=1)


def test_a_variant_over_the_latency_budget_is_pruned_and_trained_once_the_budget_allows(tmp_path):
    words = ("-m", "seed=0,1", "recipe.epochs=1", "tracking=none", "parallel=2")
    launch(tmp_path, *words, "latency.max_ms=1e-6")
    assert {row["state"] for row in rows(tmp_path).values()} == {"pruned"}
    assert not list(tmp_path.glob("outputs/runs/*/metrics.jsonl"))
    launch(tmp_path, *words)
    assert {row["state"] for row in rows(tmp_path).values()} == {"finished"}


def test_the_second_driver_of_a_study_says_who_holds_it(tmp_path):
    words = ("-m", "seed=0,1", "recipe.epochs=3", "tracking=none")
    first = start(tmp_path, *words)
    wait_for(lambda: (tmp_path / "outputs/s/study.json").exists())
    said = launch(tmp_path, *words, code=2)
    assert f"study s is being driven by process {first.pid}" in said
    first.communicate(timeout=300)
    assert first.returncode == 0


def test_one_variant_runs_in_the_foreground_and_is_not_repeated(tmp_path):
    said = launch(tmp_path, "recipe.epochs=2")
    assert "epoch 2/2" in said
    assert list(tmp_path.glob("outputs/runs/*/wandb/**/*.wandb")), "tracked offline by default"
    again = launch(tmp_path, "recipe.epochs=2")
    assert "epoch" not in again.split("after")[0]
    assert [path.name for path in tmp_path.iterdir()] == ["outputs"]


def test_a_sweep_ends_with_a_summary_run_that_the_same_command_does_not_repeat(tmp_path):
    words = ("-m", "model.reparam=bn", "recipe.epochs=1", "latency.max_rounds=10")
    launch(tmp_path, *words)
    pieces = list(tmp_path.glob("outputs/s/wandb/wandb/offline-run-*/run-study-*.wandb"))
    assert len(pieces) == 1
    assert b"results.csv" in pieces[0].read_bytes()
    launch(tmp_path, *words)
    assert list(tmp_path.glob("outputs/s/wandb/wandb/offline-run-*/*.wandb")) == pieces


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        (
            "model.reparam=bn+relu",
            "model.reparam=bn+relu: allowed are none or any of bn, id, dconv",
        ),
        ("model.width=0", "model.width=0.0: must be a number greater than 0"),
        ("model.ratio=-1", "model.ratio=-1.0: must be a number greater than 0"),
        ("model.branch=bn", "unknown key model.branch; model has family, width, reparam"),
        (
            "model=ghostnett",
            "there is none of this name; allowed are ghostnet, repghost",
        ),
        ("+sweeps=tabel3", "sweeps=tabel3: there is none of this name; allowed are table3,"),
        ("data.input_size=31", "input_size=31: RepGhostNet 0.1x, branches bn needs at least 32"),
        ("latency.devices=[a/b]", "latency.devices=['a/b']: must be a list of names such as"),
        ("storage.url=sqlite:////proc/nowhere/x.db", "sqlite:////proc/nowhere/x.db"),
        ("storage.url=nonsense", "nonsense"),
        ("outputs=/proc/nowhere", "/proc/nowhere"),
    ],
)
@pytest.mark.parametrize("mode", [(), ("-m", "seed=0,1")], ids=["one", "sweep"])
def test_bad_input_is_one_clear_line(tmp_path, argument, said, mode):
    output = launch(tmp_path, *mode, argument, code=2)
    assert said in output
    assert output.startswith("error: ")
    assert len(output.strip().splitlines()) == 1
    assert "Traceback" not in output


def test_a_sweep_file_holds_its_network_s_keys_and_needs_m(tmp_path):
    said = launch(tmp_path, "-m", "model=ghostnet", "model.reparam=id", code=2)
    assert said == "error: unknown key model.reparam; model has family, width, reuse, weights," + (
        " from_run, num_classes, in_chs\n"
    )
    said = launch(tmp_path, "+sweeps=table6", code=2)
    assert said == "error: this file of sweeps/ holds many variants: run it with -m\n"


@pytest.mark.parametrize(
    "word", ["plan=true", "detach=true", "n_trials=3", "sweep.refine=3", "hydra/launcher=slurm"]
)
def test_words_of_a_sweep_are_refused_without_m(tmp_path, word):
    said = launch(tmp_path, word, code=2)
    assert said == f"error: {word.split('=')[0]}: is for sweeps, also of one variant; add -m\n"


def test_a_sweep_file_without_training_ends_with_latencies_alone(tmp_path):
    limits = ("latency.max_rounds=10", "latency.input_size=32", "tracking=none")
    output = launch(tmp_path, "-m", "+sweeps=table6", "recipe.epochs=0", *limits)
    assert "7 runs (7 measured)" in output
    with (tmp_path / "outputs/s/results.csv").open() as file:
        found = list(csv.DictReader(file))
    assert len({row["fingerprint"] for row in found}) == 2  # a ReLU before the add, and none
    assert all(row["latency_ms"] and row["ratio_low"] and not row["top1"] for row in found)
    again = launch(tmp_path, "-m", "+sweeps=table6", "recipe.epochs=0", *limits)
    assert "measuring" not in again


def test_missing_data_is_one_clear_line(tmp_path):
    said = launch(tmp_path, "-m", "data=folder", "data.root=nowhere", "seed=0,1", code=2)
    assert said == "error: data.root=nowhere: no such folder\n"


def test_help_and_a_bad_key_import_no_torch(tmp_path):
    code = (
        "import sys, runpy; sys.argv = ['launch.py', '--help']\n"
        f"try: runpy.run_path({str(LAUNCH)!r}, run_name='__main__')\n"
        "except SystemExit: pass\n"
        "assert 'torch' not in sys.modules and 'optuna' not in sys.modules, 'heavy'"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "model.reparam" in done.stdout
