"""Tasks that are submitted together: their folder, their job script, and what a job does first."""

import contextlib
import json
import os
import pickle
import secrets
import shlex
import shutil
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repghost.atomic import write_json
from repghost.sweep.jobs.chain import DONE, Claims, Over, read_claims, run_chain
from repghost.sweep.jobs.contract import Job, Task
from repghost.sweep.jobs.task_file import HALT, run_task
from repghost.training.follower import follow_job
from repghost.training.team import MEETING, Place, leading, meeting_of_job

if TYPE_CHECKING:  # a job that starts needs none of it
    from repghost.sweep.jobs.launchers import SlurmSpec

MARK = "repghost:"  # how the comment of every job of ours begins
START = "start.pkl"  # what submitit loads in every job of the batch
LONE_S = 180  # after its first task has ended, SLURM ends what is left of a job
SAME = (  # keys of ours that submitit's script knows by the same name
    *("partition", "qos", "constraint", "exclude", "gres", "account", "nodes"),
    *("cpus_per_task", "cpus_per_gpu", "gpus_per_node", "gpus_per_task"),
    *("mem_per_gpu", "mem_per_cpu", "signal_delay_s", "array_parallelism"),
    *("stderr_to_stdout", "additional_parameters"),
)


class Batch:
    """A folder `jobs/<time>-<token>` of a study: whoever knows the token finds every task again."""

    def __init__(
        self, folder: Path, entries: Sequence[tuple[str, str]], leaders: Sequence[int]
    ) -> None:
        self.folder = folder
        self._entries = entries  # row and stage of each task
        self._jobs: dict[str, Job] = {}
        self.claims = Claims(leaders)

    def look(self) -> None:
        """Read anew which job has taken which task."""
        with contextlib.suppress(OSError):
            self.claims = read_claims(self.folder, self.claims)

    @classmethod
    def write(cls, study: Path, tasks: Sequence[Task]) -> "Batch":
        """Write the tasks into a new folder of the study, before anything is submitted.

        Raises:
            OSError: it cannot be written, as on a full disk; nothing is left then.
        """
        folder = study / "jobs" / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(4)}"
        folder.mkdir(parents=True)
        leaders = _leaders(tasks)
        batch = cls(folder, [(task.row, task.stage) for task in tasks], leaders)
        try:
            for index, task in enumerate(tasks):
                (folder / f"{index}.task").write_bytes(pickle.dumps(task))  # 1,000 fsyncs: 4 s
            listed = zip(tasks, leaders, strict=True)
            entries = [[task.row, task.key, task.stage, leader] for task, leader in listed]
            write_json(folder / "tasks.json", entries)
        except OSError:
            batch.discard()
            raise
        return batch

    @classmethod
    def find(cls, study: Path, token: str) -> "Batch | None":
        """Return the batch of a token, None where its folder is gone."""
        folder = next((study / "jobs").glob(f"*-{token}"), None)
        if folder is None:
            return None
        try:
            listed = json.loads((folder / "tasks.json").read_text())
            rows, _, stages, leaders = zip(*listed, strict=True)
        except (OSError, ValueError):
            return None
        return cls(folder, list(zip(rows, stages, strict=True)), leaders)

    @property
    def token(self) -> str:
        """What the jobs' comment holds."""
        return self.folder.name.rpartition("-")[2]

    def write_script(self, spec: "SlurmSpec", mark: str, snapshot: Path | None) -> Path:
        """Write the job script and what submitit loads in the job; return the script's path."""
        from submitit.core.utils import DelayedSubmission

        limit_s = 60.0 * spec.timeout_min - spec.signal_delay_s
        leaders = tuple(self.claims.leaders)
        start = DelayedSubmission(run_indexed, str(self.folder), leaders, spec.chain_s, limit_s)
        start.set_timeout(spec.timeout_min, 0)
        start.dump(self.folder / START)
        script = self.folder / "job.sh"
        script.write_text(script_text(self.folder, leaders, spec, mark, snapshot))
        return script

    def job(self, id: str, spec: "SlurmSpec") -> Job | None:
        """Return the job of this batch with the cluster's name `id`, None if it has no such."""
        index = int(id.partition("_")[2] or 0)
        if id not in self._jobs and index < len(self._entries):
            row, stage = self._entries[index]
            number, _, own = id.partition("_")
            led = f"{number}_{self.claims.leaders[index]}" if own else id
            log = f"{led}_0_log.{'out' if spec.stderr_to_stdout else 'err'}"
            self._jobs[id] = Job(id, row, stage, self.folder / log)
        return self._jobs.get(id)

    def carrier(self, job: Job, spec: "SlurmSpec") -> Job:
        """Return the job in which the task of `job` runs or will run: itself, or a quick one."""
        number, _, index = job.id.partition("_")
        place = self.claims.carrier(int(index or 0))
        found = self.job(f"{number}_{place}", spec) if index else job
        return found or job

    def carried(self, id: str, spec: "SlurmSpec") -> list[Job]:
        """Return the jobs whose tasks are at the job with the cluster's name `id`."""
        number, _, index = id.partition("_")
        places = self.claims.carried(int(index or 0))
        ids = [f"{number}_{place}" if index else id for place in places]
        return [job for one in ids if (job := self.job(one, spec))]

    def ending(self, job: Job) -> str | None:
        """Return what the task of the job failed of, "" where it did not; None before its end.

        Its carrier may go on with others.
        """
        index = int(job.id.partition("_")[2] or 0)
        if index not in self.claims.done:
            return None
        try:
            return (self.folder / f"{index}.{DONE}").read_text()
        except OSError:
            return ""

    def halt(self, job: Job) -> None:
        """Ask one member of a cohort to save and end."""
        (self.folder / f"{int(job.id.partition('_')[2] or 0)}{HALT}").touch()

    def jobs(self, number: str, spec: "SlurmSpec") -> list[Job]:
        """Return all jobs of this batch, which the cluster took under `number`."""
        count = len(self._entries)
        ids = [number] if count == 1 else [f"{number}_{index}" for index in range(count)]
        return [job for id in ids if (job := self.job(id, spec))]

    def discard(self) -> None:
        """Remove the folder of a batch that was refused."""
        shutil.rmtree(self.folder, ignore_errors=True)


def token_in(comment: str, mark: str = MARK) -> str | None:
    """Return the batch's token in a job's comment that begins with `mark`, None in any other."""
    if not comment.startswith(mark):
        return None
    return comment.partition(" ")[0].rpartition(":")[2]


def _leaders(tasks: Sequence[Task]) -> list[int]:
    """Return for each task the first of those that are trained in one process with it."""
    leaders: list[int] = []
    for index, task in enumerate(tasks):
        follows = index and task.cohort and task.cohort == tasks[index - 1].cohort
        leaders.append(leaders[-1] if follows else index)
    return leaders


def script_text(
    folder: Path, leaders: Sequence[int], spec: "SlurmSpec", comment: str, snapshot: Path | None
) -> str:
    """Return the text of the job script: one job, or an array with a job for each leader.

    Submitit's function for the text is called alone: its executor would run sbatch without a time
    limit, and give the jobs what they load only afterwards, which a kill in between prevents.
    """
    from submitit.slurm.slurm import _make_sbatch_string

    options: dict[str, Any] = {name: getattr(spec, name) for name in SAME}
    if spec.mem_gb is not None:
        options["mem"] = f"{round(spec.mem_gb * 1024)}M"
    if len(leaders) > 1:
        options["map_count"] = len(leaders)
    python = spec.python or shlex.quote(sys.executable)
    text: str = _make_sbatch_string(
        command=f"{python} -u -m submitit.core._submit {shlex.quote(str(folder))}",
        folder=folder,
        job_name=spec.name or f"repghost-{folder.parent.parent.name}",
        comment=f"{comment} {spec.comment or ''}".strip(),
        time=spec.timeout_min,
        ntasks_per_node=spec.tasks_per_node,
        srun_args=[f"--wait={LONE_S}"] if _is_shared(spec) else None,
        setup=[*(spec.setup or []), *_imports(snapshot), *_link(folder), *_meeting(folder, spec)],
        **options,
    )
    return _for_leaders(text, leaders)


def _for_leaders(text: str, leaders: Sequence[int]) -> str:
    """Leave out of an array the places of tasks that another one leads."""
    places = sorted(set(leaders))
    if len(places) == len(leaders):
        return text
    whole = f"--array=0-{len(leaders) - 1}"
    assert whole in text
    return text.replace(whole, f"--array={','.join(map(str, places))}")


def _imports(snapshot: Path | None) -> list[str]:
    """Let the job import the code of the snapshot, not the one in the folder where it starts."""
    if snapshot is None:
        return []
    path = shlex.quote(str(snapshot.resolve()))
    return [f'export PYTHONSAFEPATH=1 PYTHONPATH={path}"${{PYTHONPATH:+:$PYTHONPATH}}"']


def _link(folder: Path) -> list[str]:
    """Put what submitit loads where it looks for it, under the job's own name."""
    name = '"${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_}${SLURM_ARRAY_TASK_ID:-$SLURM_JOB_ID}"'
    return [f"ln -sfn {START} {shlex.quote(str(folder))}/{name}_submitted.pkl"]


def _meeting(folder: Path, spec: "SlurmSpec") -> list[str]:
    """Let the tasks of a job, at each of its starts, meet through a file of their own."""
    if not _is_shared(spec):
        return []
    name = '"${SLURM_JOB_ID}-${SLURM_RESTART_COUNT:-0}"'
    return [f"export {MEETING}={shlex.quote(str(folder))}/{name}.team"]


def _is_shared(spec: "SlurmSpec") -> bool:
    """Whether a job has several tasks."""
    return spec.tasks_per_node * spec.nodes > 1


def run_indexed(folder: str, leaders: Sequence[int], short_s: float, limit_s: float) -> None:
    """In a job: run the task at this job's place in the array, and while they are short, others.

    Of a job of several tasks the first does that, and the others what it says.
    """
    meeting = meeting_of_job()
    place = Place.of_job(os.environ) if meeting else Place()
    if meeting and place.rank > 0:
        sys.exit(follow_job(meeting, place))
    index = int(os.environ.get("SLURM_ARRAY_TASK_ID", "0"))
    with leading(meeting, place) if meeting else contextlib.nullcontext() as team:
        run = partial(_run, {"team": team} if team else {})
        run_chain(Path(folder), index, leaders, run, short_s=short_s, limit_s=limit_s)


def _run(around: dict[str, Any], paths: Sequence[Path], over: Over) -> None:
    """Run a task with what its job has for it, or the tasks of a cohort."""
    if len(paths) == 1:
        run_task(paths[0], **around)
        return
    from repghost.sweep.jobs.together import run_together  # it imports torch

    if run_together(paths, over):
        raise RuntimeError("not every training of the cohort came to its end; see above")
