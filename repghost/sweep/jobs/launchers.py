"""Where jobs run, as `hydra/launcher=...` says it: typed and checked."""

import difflib
from dataclasses import dataclass, fields
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

HYDRAS_DEFAULT = "basic_launcher.BasicLauncher"
LONGEST_SIGNAL_DELAY_S = 65535  # what `sbatch --signal` takes
TAKEN = {  # `sbatch` options that are made from something else
    "array": "jobs that start together are an array already",
    "chdir": "jobs run in the folder of the command; outputs=FOLDER moves their files",
    "comment": "hydra.launcher.comment is it",
    "error": "logs lie in the study's folder; outputs=FOLDER moves it",
    "job-name": "hydra.launcher.name is it",
    "ntasks": "hydra.launcher.tasks_per_node and nodes are it",
    "ntasks-per-node": "hydra.launcher.tasks_per_node is it",
    "open-mode": "logs are always appended to",
    "output": "logs lie in the study's folder; outputs=FOLDER moves it",
    "signal": "hydra.launcher.signal_delay_s sets when it comes",
    "wait": "a sweep never blocks on its jobs",
}


@dataclass(frozen=True)
class LocalSpec:
    """This machine: `parallel` trainings at a time, each of `tasks_per_node` processes."""

    # processes of a training, which share its cores; one for each GPU where there are some
    tasks_per_node: int = 1

    def __post_init__(self) -> None:
        if self.tasks_per_node < 1:
            raise _wrong("tasks_per_node", self.tasks_per_node, "must be at least 1")


@dataclass(frozen=True)
class SlurmSpec:
    """Jobs of a SLURM cluster, by the key names of hydra-submitit-launcher.

    What is None is not asked for: the cluster's default holds.
    """

    # minutes that a job may run; a training that needs longer goes on in the next one
    timeout_min: int = 60
    # CPUs of a task
    cpus_per_task: int | None = None
    # GPUs of a job on each of its nodes
    gpus_per_node: int | None = None
    # processes of a training on each node, one for each GPU; all of them are one training
    tasks_per_node: int = 1
    # memory of a job in GB
    mem_gb: float | None = None
    # nodes of a training
    nodes: int = 1
    # name of the jobs in the queue; None: repghost-STUDY
    name: str | None = None
    # one log per job, .out, instead of .out and .err
    stderr_to_stdout: bool = False
    # comma-separated partitions; the first that has room is taken
    partition: str | None = None
    # quality of service
    qos: str | None = None
    # follows our own mark in the job's comment (jobs are found again by that mark)
    comment: str | None = None
    # features that a node must have, such as "a100|h100"
    constraint: str | None = None
    # comma-separated nodes to keep away from
    exclude: str | None = None
    # generic resources by their SLURM name, such as "gpu:a100:2"
    gres: str | None = None
    # CPUs for each GPU; needs gpus_per_task
    cpus_per_gpu: int | None = None
    # GPUs of a task, in the words that cpus_per_gpu needs
    gpus_per_task: int | None = None
    # memory for each GPU, such as "40G"
    mem_per_gpu: str | None = None
    # memory for each CPU, such as "4G"
    mem_per_cpu: str | None = None
    # account that is charged
    account: str | None = None
    # seconds before the time limit at which a job is told to save and leave
    signal_delay_s: int = 120
    # of submitit; here max_requeues, which counts only jobs without progress
    max_num_timeout: int = 0
    # any other options of sbatch, such as {mail-type: FAIL, reservation: friday}
    additional_parameters: dict[str, Any] | None = None
    # jobs of the sweep that run at a time
    array_parallelism: int = 256
    # shell commands that come before the job's Python, such as "module load cuda"
    setup: list[str] | None = None
    # of submitit; the jobs' files lie in the study's folder
    submitit_folder: str | None = None
    # what starts Python in a job, a shell command; None: the interpreter of this command
    python: str | None = None
    # a job that was done within so many seconds takes the next variant that waits in its array, so
    # that short trainings do not wait for the scheduler and for Python; 0: one training a job
    chain_s: float = 600.0
    # seconds between two looks at the queue: one squeue for all jobs
    poll_s: float = 2.0

    def __post_init__(self) -> None:
        self._check_numbers()
        self._check_texts()
        self._refuse_strangers()
        self._check_pairs()
        self._check_options()

    def _check_numbers(self) -> None:
        counts = ("tasks_per_node", "nodes", "cpus_per_task", "cpus_per_gpu", "array_parallelism")
        for name in ("timeout_min", "mem_gb", *counts):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise _wrong(name, value, "must be greater than 0")
        for name in ("gpus_per_node", "gpus_per_task"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise _wrong(name, value, "must be at least 0")
        if not self.chain_s >= 0:
            raise _wrong("chain_s", self.chain_s, "must be at least 0")
        if not 0.1 <= self.poll_s <= 600:
            raise _wrong("poll_s", self.poll_s, "must be between 0.1 and 600 seconds")
        longest = min(self.timeout_min * 60 - 1, LONGEST_SIGNAL_DELAY_S)
        if not 0 <= self.signal_delay_s <= longest:
            limit = f"at most {longest} with timeout_min={self.timeout_min}"
            raise _wrong("signal_delay_s", self.signal_delay_s, f"must be at least 0 and {limit}")

    def _check_texts(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if isinstance(value, str) and (not value.strip() or not value.isprintable()):
                raise _wrong(one.name, repr(value), "must be one line of text, or null")
        if any(not command.strip() for command in self.setup or []):
            raise _wrong("setup", self.setup, "must be a list of shell commands")

    def _refuse_strangers(self) -> None:
        if self.max_num_timeout != 0:
            reason = "a job at its time limit always goes on; max_requeues=N limits it"
            raise _wrong("max_num_timeout", self.max_num_timeout, reason)
        if self.submitit_folder is not None:
            reason = "the jobs' files lie in the study's folder; outputs=FOLDER moves it"
            raise _wrong("submitit_folder", self.submitit_folder, reason)

    def _check_pairs(self) -> None:
        for names in (
            ("mem_gb", "mem_per_cpu", "mem_per_gpu"),
            ("cpus_per_task", "cpus_per_gpu"),
            ("gpus_per_node", "gpus_per_task"),
        ):
            if len([name for name in names if getattr(self, name) is not None]) > 1:
                raise ValueError(f"hydra.launcher: set only one of {', '.join(names)}")
        if self.cpus_per_gpu is not None and self.gpus_per_task is None:
            raise _wrong("cpus_per_gpu", self.cpus_per_gpu, "needs gpus_per_task as well")

    def _check_options(self) -> None:
        for key, value in (self.additional_parameters or {}).items():
            option = str(key).replace("_", "-")
            if option in TAKEN:
                raise _wrong(f"additional_parameters.{key}", value, TAKEN[option])
            if option.replace("-", "_") in {one.name for one in fields(self)}:
                reason = f"hydra.launcher.{option.replace('-', '_')} is it"
                raise _wrong(f"additional_parameters.{key}", value, reason)
            if not f"{option}{value}".isprintable():
                raise _wrong(f"additional_parameters.{key}", repr(value), "must be one line")


KEYS: dict[str, tuple[str, ...]] = {  # what each launcher can be told
    "local": tuple(one.name for one in fields(LocalSpec)),
    "slurm": tuple(one.name for one in fields(SlurmSpec)),
}


def launcher_from(config: DictConfig) -> LocalSpec | SlurmSpec:
    """Return the typed settings in the group `hydra.launcher`; Hydra's own default is local.

    Raises:
        ValueError: another plug-in's launcher, an unknown key, or a value that is not allowed.
    """
    try:
        values = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        raise ValueError(f"hydra.launcher: {str(error).splitlines()[0]}") from error
    assert isinstance(values, dict)
    if "_target_" in values:
        return _stock(str(values["_target_"]))
    kind = values.pop("kind", None)
    if kind not in KEYS:
        raise ValueError(f"hydra.launcher.kind={kind}: allowed are {', '.join(KEYS)}")
    for name in values:
        if name not in KEYS[kind]:
            raise ValueError(unknown_key(str(name), kind))
    return _typed(LocalSpec if kind == "local" else SlurmSpec, values)


def unknown_key(name: str, launcher: str) -> str:
    """Return the line for a key that `hydra/launcher=<launcher>` does not have."""
    known = KEYS[launcher]
    option = name.removeprefix("additional_parameters.")
    if option != name and launcher == "slurm":
        return f"hydra.launcher.{name} is a new key of a dict: write +hydra.launcher.{name}=..."
    said = f"unknown key hydra.launcher.{name}"
    if name in KEYS["slurm"]:
        return (
            f"{said}; hydra/launcher=slurm has it, hydra/launcher={launcher} has {', '.join(known)}"
        )
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}? " if near else ""
    return f"{said}; {hint}hydra/launcher={launcher} has {', '.join(known)}"


def _stock(target: str) -> LocalSpec:
    if target.endswith(HYDRAS_DEFAULT):
        return LocalSpec()
    same = ", which has the same keys" if "submitit" in target else ""
    raise ValueError(
        f"hydra/launcher: {target} cannot continue a sweep; use hydra/launcher=local (this"
        f" machine) or hydra/launcher=slurm{same}"
    )


def _typed(kind: type[LocalSpec | SlurmSpec], values: dict[Any, Any]) -> LocalSpec | SlurmSpec:
    schema = OmegaConf.structured(kind)
    OmegaConf.set_readonly(schema, False)  # the dataclass is frozen
    try:
        spec = OmegaConf.to_object(OmegaConf.merge(schema, values))
    except OmegaConfBaseException as error:
        key = getattr(error, "full_key", None)
        place = f"hydra.launcher.{key}" if key else "hydra.launcher"
        raise ValueError(f"{place}: {str(error).splitlines()[0]}") from error
    assert isinstance(spec, kind)
    return spec


def _wrong(name: str, value: object, reason: str) -> ValueError:
    return ValueError(f"hydra.launcher.{name}={value}: {reason}")
