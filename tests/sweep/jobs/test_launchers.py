"""Where jobs run, as the command line says it."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from repghost.complaint import complaint
from repghost.sweep.jobs.launchers import LocalSpec, SlurmSpec, launcher_from

CONF = Path(__file__).parents[3] / "conf"
SLURM = "hydra/launcher=slurm"
HYDRA_SUBMITIT_LAUNCHER = {  # its keys, in hydra_plugins/hydra_submitit_launcher/config.py
    *("submitit_folder", "timeout_min", "cpus_per_task", "gpus_per_node", "tasks_per_node"),
    *("mem_gb", "nodes", "name", "stderr_to_stdout", "partition", "qos", "comment", "constraint"),
    *("exclude", "gres", "cpus_per_gpu", "gpus_per_task", "mem_per_gpu", "mem_per_cpu", "account"),
    *("signal_delay_s", "max_num_timeout", "additional_parameters", "array_parallelism", "setup"),
}


def launcher(*overrides: str) -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        chosen: DictConfig = compose("config", [*overrides], return_hydra_config=True)
        return chosen.hydra.launcher


def refusal(*overrides: str) -> str:
    with pytest.raises(ValueError) as refused:
        launcher_from(launcher(*overrides))
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_jobs_run_on_this_machine_unless_something_else_is_said():
    assert launcher_from(launcher()) == LocalSpec()


def test_a_training_on_this_machine_can_have_several_processes():
    assert launcher_from(launcher("hydra.launcher.tasks_per_node=2")) == LocalSpec(2)
    assert "at least 1" in refusal("hydra.launcher.tasks_per_node=0")


def test_hydras_own_default_launcher_stands_for_this_machine():
    assert launcher_from(launcher("hydra/launcher=basic")) == LocalSpec()


def test_the_defaults_of_the_file_and_of_the_class_are_the_same():
    assert launcher_from(launcher(SLURM)) == SlurmSpec()


def test_the_file_lists_every_key_and_no_other():
    assert set(launcher(SLURM)) == {"kind", *(one.name for one in fields(SlurmSpec))}


def test_it_has_every_key_of_hydra_submitit_launcher():
    assert {one.name for one in fields(SlurmSpec)} >= HYDRA_SUBMITIT_LAUNCHER


def test_values_of_the_command_line_arrive_with_their_types():
    spec = launcher_from(
        launcher(
            SLURM,
            "hydra.launcher.partition=gpu",
            "hydra.launcher.account=4711",
            "hydra.launcher.mem_gb=1.5",
            "hydra.launcher.gpus_per_node=8",
            "hydra.launcher.setup=[module load cuda,ulimit -n 4096]",
            "hydra.launcher.additional_parameters={mail-type: FAIL, exclusive: true}",
        )
    )
    assert spec == SlurmSpec(
        partition="gpu",
        account="4711",
        mem_gb=1.5,
        gpus_per_node=8,
        setup=["module load cuda", "ulimit -n 4096"],
        additional_parameters={"mail-type": "FAIL", "exclusive": True},
    )


@pytest.mark.parametrize("name", ["submitit_slurm", "submitit_local"])
def test_the_stock_launcher_is_refused_with_the_name_of_ours(name):
    config = OmegaConf.create(
        {"_target_": f"hydra_plugins.hydra_submitit_launcher.submitit_launcher.{name}"}
    )
    with pytest.raises(ValueError, match=r"use hydra/launcher=local .*or hydra/launcher=slurm"):
        launcher_from(config)


def test_an_unknown_key_is_refused_with_the_nearest_and_all_known_ones():
    said = refusal(SLURM, "+hydra.launcher.partitin=gpu")
    assert said.startswith("unknown key hydra.launcher.partitin; did you mean partition?")
    assert "array_parallelism" in said and "qos" in said


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            [SLURM, "hydra.launcher.partitin=gpu"],
            "unknown key hydra.launcher.partitin; did you mean partition? hydra/launcher=slurm has",
        ),
        (
            ["hydra.launcher.partition=gpu"],
            "unknown key hydra.launcher.partition; hydra/launcher=slurm has it",
        ),
        (
            [SLURM, "hydra.launcher.additional_parameters.reservation=x"],
            "hydra.launcher.additional_parameters.reservation is a new key of a dict: write +hydra",
        ),
        (["hydra/launcher=slrm"], "hydra/launcher=slrm: there is none of this name; allowed are"),
    ],
)
def test_the_command_line_says_the_same_where_hydra_refuses_first(words: list[str], line: str):
    with pytest.raises(Exception) as refused:
        launcher(*words)
    assert str(complaint(refused.value, CONF, words)).startswith(line)


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        ("tasks_per_node=0", "greater than 0"),
        ("nodes=0", "greater than 0"),
        ("max_num_timeout=3", "max_requeues"),
        ("submitit_folder=/x", "outputs=FOLDER"),
        ("timeout_min=0", "greater than 0"),
        ("timeout_min=soon", "Integer"),
        ("mem_gb=-1", "greater than 0"),
        ("mem_gb=inf", "greater than 0"),
        ("cpus_per_task=0", "greater than 0"),
        ("gpus_per_node=-1", "at least 0"),
        ("array_parallelism=0", "greater than 0"),
        ("poll_s=0", "between 0.1 and 600"),
        ("signal_delay_s=3600", "at most 3599 with timeout_min=60"),
        ("partition=''", "one line of text"),
        ("setup=['']", "shell commands"),
        ("setup=true", "setup"),
        ("additional_parameters={comment: x}", "hydra.launcher.comment is it"),
        ("additional_parameters={cpus-per-task: 2}", "hydra.launcher.cpus_per_task is it"),
        ("additional_parameters={output: x}", "outputs=FOLDER"),
        ("additional_parameters={ntasks: 2}", "tasks_per_node"),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused_with_its_key_and_a_reason(override, reason):
    said = refusal(SLURM, f"hydra.launcher.{override}")
    assert said.startswith(f"hydra.launcher.{override.split('=')[0]}")
    assert reason in said


@pytest.mark.parametrize("key", ["name", "comment", "partition", "python"])
def test_a_text_cannot_smuggle_a_line_into_the_job_script(key: str):
    with pytest.raises(ValueError, match="one line of text"):
        SlurmSpec(**{key: "a\n#SBATCH --uid=0"})


def test_neither_can_an_additional_parameter():
    with pytest.raises(ValueError, match="one line"):
        SlurmSpec(additional_parameters={"reservation": "a\nrm"})


@pytest.mark.parametrize(
    "both",
    [
        ["mem_gb=4", "mem_per_cpu=2G"],
        ["cpus_per_task=4", "cpus_per_gpu=2"],
        ["gpus_per_node=2", "gpus_per_task=2"],
    ],
)
def test_two_keys_that_contradict_each_other_are_refused_with_both_names(both):
    said = refusal(SLURM, *(f"hydra.launcher.{one}" for one in both))
    assert all(one.split("=")[0] in said for one in both)


def test_cpus_per_gpu_needs_the_gpus_in_its_own_words():
    assert "gpus_per_task" in refusal(SLURM, "hydra.launcher.cpus_per_gpu=4")


def test_an_unknown_kind_is_refused_with_the_known_ones():
    config: dict[str, Any] = {"kind": "pbs"}
    with pytest.raises(ValueError, match=r"kind=pbs: allowed are local, slurm"):
        launcher_from(OmegaConf.create(config))
