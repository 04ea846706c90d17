"""SLURM as a backend: arrays of jobs, one look at the queue for all of them, nothing twice."""

import hashlib
import itertools
import socket
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path

from repghost.sweep.jobs.batch import MARK, Batch, token_in
from repghost.sweep.jobs.cluster import Cluster
from repghost.sweep.jobs.contract import Job, Phase, Sight, Task
from repghost.sweep.jobs.launchers import SlurmSpec
from repghost.sweep.jobs.refusals import ALL, Full, Gate, Refused, Unreachable, advice, is_stuck
from repghost.sweep.jobs.watch import UNKNOWN, Look, Watch, lost_in

ANSWERS_WITHIN_S = 60.0  # a controller that is restarted is back by then


class SlurmJobs:
    """Submits tasks to a SLURM cluster and follows them by their comment in its queue.

    Every job's comment is `repghost:<study>:<batch>`, so that jobs are found again from the queue
    alone, also those that a killed driver had no time to note. `snapshot` is the folder that jobs
    import the code from.

    Raises:
        ValueError: there is no sbatch here, or SLURM cannot write logs into the study's folder.
    """

    def __init__(
        self,
        folder: Path,
        spec: SlurmSpec,
        snapshot: Path | None = None,
        *,
        cluster: Cluster | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._study = folder.resolve()
        if "%" in str(self._study) or not str(self._study).isprintable():
            raise ValueError(
                f"{self._study}: SLURM cannot write logs there; outputs=FOLDER moves it"
            )
        self._spec, self._snapshot = spec, snapshot
        self._cluster = cluster or Cluster()
        self._clock, self._sleep = clock, sleep
        self._notices: list[str] = []
        self._said_once: set[str] = set()
        self._watch = Watch(self._cluster, spec.poll_s, clock, self._say)
        self._gate = Gate(clock)
        self._mark = f"{MARK}{hashlib.sha256(str(self._study).encode()).hexdigest()[:12]}:"
        self._batches: dict[str, Batch | None] = {}  # by token
        self._unsure = False  # sbatch gave no answer, so a batch may have been taken
        self._accepted = False  # such jobs are taken here
        self._cancelled: set[str] = set()
        self._uncancelled: set[str] = set()  # scancel got no answer
        self._seen: Look | None = None
        self._checked: Look | None = None  # for doubles
        self._live: list[Job] = []  # in `_seen`: ours that wait or run, first those to keep
        self.slots = spec.array_parallelism
        self.trains_here = self._is_a_node()

    def room(self, at_work: Collection[Job]) -> int:
        """Return how many more jobs may be in the queue.

        All at once where there is none: an array runs only `array_parallelism` at a time. What
        comes later has no such bound between arrays, so it waits here for its place.
        """
        carriers = {self._carrier(job).id for job in at_work}
        return max(0, self.slots - len(carriers)) if carriers else ALL

    def submit(self, tasks: Sequence[Task]) -> list[Job]:
        """Hand over tasks as jobs and arrays; one that has a job in the queue already gets that.

        Raises:
            ValueError: the cluster would never take them; the line names the key to change.
        """
        look = self._look(fresh=self._unsure)
        if look is None:
            return []
        self._unsure = False
        jobs = {(job.row, job.stage): job for job in reversed(self._live)}
        new = [task for task in tasks if (task.row, task.stage) not in jobs]
        jobs |= {(job.row, job.stage): job for job in self._hand_over(new, look.live())}
        places = [(task.row, task.stage) for task in tasks]
        return [jobs[place] for place in itertools.takewhile(jobs.__contains__, places)]

    def adopt(self) -> list[Job]:
        """Return this study's jobs that wait or run; where a task has two, one is cancelled.

        Raises:
            ValueError: the controller does not answer within a minute.
        """
        give_up = self._clock() + ANSWERS_WITHIN_S
        while self._look(fresh=True) is None:
            if self._clock() > give_up:
                raise ValueError(
                    "the SLURM controller does not answer, so it is not known what runs already;"
                    " `squeue` shows when it is back"
                )
            self._sleep(1.0)
        return self._without_doubles(known=())

    def poll(self, jobs: Collection[Job]) -> dict[Job, Sight]:
        """Return what the last squeue, not older than `poll_s`, says of the jobs."""
        look = self._look()
        if look is None:
            return dict.fromkeys(jobs, UNKNOWN)
        if look is not self._checked:
            self._checked = look
            self._without_doubles(known={job.id for job in jobs})
        self._read_claims({_token(job) for job in jobs})  # an end is seen here before squeue tells
        carriers = {job: self._carrier(job) for job in jobs}
        sights = self._watch.sights(set(carriers.values()), look)
        return {job: self._over(job) or sights[carrier] for job, carrier in carriers.items()}

    def _carrier(self, job: Job) -> Job:
        """Return the job that runs the task of `job`: itself, or a quick one of its array."""
        batch = self._batch_of(job)
        return batch.carrier(job, self._spec) if batch else job

    def _over(self, job: Job) -> Sight | None:
        """Return what is seen of a task that is over, whose job may go on with others."""
        batch = self._batch_of(job)
        said = batch.ending(job) if batch else None
        return None if said is None else Sight(Phase.ENDED, lost_in(said))

    def _batch_of(self, job: Job) -> Batch | None:
        return self._batches.get(_token(job))

    def _read_claims(self, tokens: Collection[str | None]) -> None:
        for token in tokens:
            if batch := self._batches.get(token or ""):
                batch.look()

    def cancel(self, jobs: Iterable[Job]) -> None:
        """End jobs, queued or running; asked again where the controller does not answer now.

        Of a cohort only those members; if it is all of them, the job.
        """
        jobs = list(jobs)
        self._read_claims({_token(job) for job in jobs})  # one may have been taken just now
        ids = dict[str, None]()
        for job in jobs:
            batch, carrier = self._batch_of(job), self._carrier(job)
            if batch and not set(batch.carried(carrier.id, self._spec)) <= set(jobs):
                batch.halt(job)
            else:
                ids[carrier.id] = None
        self._cancelled |= set(ids)
        self._scancel(list(ids))

    def notices(self) -> list[str]:
        """Return what the user should be told once; then forget."""
        notices, self._notices = self._notices, []
        return notices

    def _look(self, *, fresh: bool = False) -> Look | None:
        look = self._watch.look(fresh=fresh)
        if look is not None and look is not self._seen:
            self._seen = look
            self._read_claims({token_in(row.comment, self._mark) for row in look.rows.values()})
            self._live = self._ours(look)
            again = [id for id in self._uncancelled if id in look.rows and look.rows[id].is_live]
            self._uncancelled.clear()
            self._scancel(again)
            self._say_stuck(look)
        return look

    def _say_stuck(self, look: Look) -> None:
        rows = [look.rows[job.id] for job in self._live if job.id in look.rows]
        reasons = {row.sight.reason: row.id for row in rows}
        for reason, id in reasons.items():
            if is_stuck(reason):
                self._say_once(
                    f"SLURM lets jobs wait for what does not come by itself ({reason}):"
                    f" `scontrol show job {id}` says more"
                )

    def _ours(self, look: Look) -> list[Job]:
        """Return the study's live jobs, running ones first, then by age.

        Those that still wait for a task that another job has taken are cancelled.
        """
        found, idle = [], []
        for row in look.rows.values():
            token = token_in(row.comment, self._mark)
            if token is None or not row.is_live or row.id in self._cancelled:
                continue
            batch, waits = self._batch(token, row.id), row.sight.phase is not Phase.RUNNING
            carried = batch.carried(row.id, self._spec) if batch else []
            found += [(waits, _age(job.id), job) for job in carried]
            if batch and not carried and waits:
                idle.append(row.id)
        self._scancel(idle)  # not `--state=PENDING`: that takes all of an array that waits
        return [job for _, _, job in sorted(found, key=lambda one: one[:2])]

    def _batch(self, token: str, id: str) -> Batch | None:
        if token not in self._batches:
            self._batches[token] = batch = Batch.find(self._study, token)
            if batch:
                batch.look()
            else:
                self._say(f"a folder in {self._study}/jobs is gone: job {id} is left alone")
        return self._batches[token]

    def _without_doubles(self, known: Collection[str]) -> list[Job]:
        """Cancel all but one of the jobs of each task, keeping the one that the driver knows."""
        kept: dict[tuple[str, str], Job] = {}
        for job in sorted(self._live, key=lambda job: job.id not in known):
            kept.setdefault((job.row, job.stage), job)
        if len(kept) < len(self._live):
            doubles = [job for job in self._live if kept[job.row, job.stage] is not job]
            self._say(f"{len(doubles)} jobs were submitted twice; one of each two is cancelled")
            self.cancel(doubles)
            self._live = list(kept.values())
        return list(self._live)

    def _hand_over(self, tasks: Sequence[Task], live: int) -> list[Job]:
        """Submit as many of `tasks` as are taken, in arrays that shrink where a limit is met."""
        jobs: list[Job] = []
        room = self._gate.room(live + self._watch.unseen())
        limits = self._watch.limits() if tasks and room else None
        size = limits.array if limits else 0
        while size > 0 and len(jobs) < min(len(tasks), room):
            try:
                jobs += self._sbatch(tasks[len(jobs) : min(len(jobs) + size, room)])
            except Full as limit:
                size = min(size, len(tasks) - len(jobs), room - len(jobs)) // 2
                if size == 0:
                    self._gate.close(live + self._watch.unseen())
                    self._say_once(f"SLURM takes no more jobs now ({limit}); the rest waits here")
            except (Unreachable, Refused) as error:
                self._put_off(error)
                break
        if tasks and len(jobs) == len(tasks):
            self._gate.open()
        return jobs

    def _sbatch(self, tasks: Sequence[Task]) -> list[Job]:
        batch = Batch.write(self._study, tasks)
        try:
            script = batch.write_script(self._spec, self._mark + batch.token, self._snapshot)
            number = self._cluster.submit(script)
        except (Full, Refused, OSError):
            batch.discard()
            raise
        self._accepted = True
        self._batches[batch.token] = batch
        jobs = batch.jobs(number, self._spec)
        self._watch.expect(jobs)
        return jobs

    def _put_off(self, error: Unreachable | Refused) -> None:
        if isinstance(error, Unreachable):
            self._unsure = True
            self._say_once(f"sbatch got no answer ({error}); asking again")
        elif self._accepted or self._live:
            self._say_once(f"SLURM takes no jobs at present ({error}); asking again")
        else:
            raise ValueError(advice(str(error), self._spec, self._partitions())) from error
        self._gate.close(0)

    def _partitions(self) -> list[str]:
        try:
            return self._cluster.partitions()
        except Unreachable:
            return []

    def _is_a_node(self) -> bool:
        try:
            hosts = self._cluster.hosts(self._spec.partition)
        except Unreachable:
            return True  # nothing is known, so nothing is to be timed beside a training
        return socket.gethostname().partition(".")[0] in hosts

    def _scancel(self, ids: Sequence[str]) -> None:
        if not ids:
            return
        try:
            self._cluster.cancel(ids)
        except Unreachable as silence:
            self._uncancelled |= set(ids)
            self._say(f"{len(ids)} jobs are not cancelled yet: {silence}")

    def _say(self, notice: str) -> None:
        self._notices.append(notice)

    def _say_once(self, notice: str) -> None:
        if notice not in self._said_once:
            self._said_once.add(notice)
            self._say(notice)


def _token(job: Job) -> str:
    return job.log.parent.name.rpartition("-")[2] if job.log else ""


def _age(id: str) -> tuple[int, int]:
    number, _, index = id.partition("_")
    return int(number), int(index or 0)
