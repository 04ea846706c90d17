"""SLURM's answers taken apart, and its commands as they behave when they misbehave."""

import os
import time
from pathlib import Path

import pytest

from repghost.sweep.jobs import cluster
from repghost.sweep.jobs.cluster import (
    Cluster,
    Limits,
    parse_accounting,
    parse_limits,
    parse_queue,
    parse_seconds,
)
from repghost.sweep.jobs.contract import Phase, Sight
from repghost.sweep.jobs.launchers import SlurmSpec
from repghost.sweep.jobs.refusals import Full, Refused, Unreachable, advice, refusal

POLICY = (
    "sbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit"
    " limit, user's size and/or time limits)"
)


def one(line: str) -> Sight:
    (row,) = parse_queue(line).values()
    return row.sight


@pytest.mark.parametrize(
    ("line", "sight"),
    [
        ("7|PENDING||1:00:00|Resources|(null)", Sight(Phase.QUEUED, "Resources")),
        ("7|PENDING||UNLIMITED|None|", Sight(Phase.QUEUED)),
        ("7|CONFIGURING|n1|5:00|None|", Sight(Phase.QUEUED)),
        ("7|REQUEUED||5:00|BeginTime|", Sight(Phase.QUEUED, "BeginTime")),
        ("7|REQUEUE_HOLD||5:00|JobHeldUser|", Sight(Phase.QUEUED, "JobHeldUser")),
        ("7|RUNNING|n1|4:30|None|", Sight(Phase.RUNNING, node="n1", left_s=270.0)),
        ("7|RUNNING|n1|UNLIMITED|None|", Sight(Phase.RUNNING, node="n1")),
        ("7|COMPLETING|n1|0:00|None|", Sight(Phase.RUNNING, node="n1", left_s=0.0)),
        ("7|SUSPENDED|n1|9|None|", Sight(Phase.RUNNING, node="n1", left_s=9.0)),
        ("7|STOPPED|n1|9|None|", Sight(Phase.RUNNING, node="n1", left_s=9.0)),
        ("7|SIGNALING|n1|9|None|", Sight(Phase.RUNNING, node="n1", left_s=9.0)),
        ("7|STAGE_OUT|n1|9|None|", Sight(Phase.RUNNING, node="n1", left_s=9.0)),
        ("7|A_STATE_OF_TOMORROW|n1|9|None|", Sight(Phase.RUNNING, node="n1", left_s=9.0)),
        ("7|COMPLETED|n1|4:30|None|", Sight(Phase.ENDED, node="n1")),
        ("7|FAILED|n1|4:30|NonZeroExitCode|", Sight(Phase.ENDED, "failed", node="n1")),
        ("7|NODE_FAIL|n3|0:00|NodeDown|", Sight(Phase.ENDED, "node failure on n3", node="n3")),
        ("7|TIMEOUT|n1|0:00|TimeLimit|", Sight(Phase.ENDED, "time limit", node="n1")),
        ("7|OUT_OF_MEMORY|n1|1:00|OutOfMemory|", Sight(Phase.ENDED, "out of memory", node="n1")),
        ("7|PREEMPTED|n1|1:00|None|", Sight(Phase.ENDED, "preempted", node="n1")),
        ("7|CANCELLED|n1|1:00|None|", Sight(Phase.ENDED, "cancelled", node="n1")),
        ("7|CANCELLED||1:00|None|", Sight(Phase.ENDED, "cancelled", started=False)),
    ],
)
def test_every_state_of_a_job_is_one_of_waiting_running_and_ended(line: str, sight: Sight):
    assert one(line) == sight


def test_a_comment_may_hold_the_separator_and_array_elements_have_rows_of_their_own():
    rows = parse_queue("7_0|RUNNING|n1|9|None|a|b\n7_1|PENDING||9|Priority|(null)\n")
    assert [(row.id, row.comment) for row in rows.values()] == [("7_0", "a|b"), ("7_1", "")]


def test_a_torn_line_is_left_out():
    assert list(parse_queue("7|RUNNING|n1|9|None|x\n8|RUNN")) == ["7"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("9", 9),
        ("0:00", 0),
        ("4:30", 270),
        ("1:00:00", 3600),
        ("2-03:04:05", 2 * 86400 + 3 * 3600 + 4 * 60 + 5),
        ("364-23:58:20", 365 * 86400 - 100),
        ("2-03", 2 * 86400 + 3 * 3600),
        ("UNLIMITED", None),
        ("NOT_SET", None),
        ("INVALID", None),
        ("", None),
    ],
)
def test_a_time_that_is_left_is_read_in_every_form(text: str, seconds: float | None):
    assert parse_seconds(text) == seconds


def test_a_thousand_jobs_are_read_in_less_than_20_ms():
    line = "4711_{}|RUNNING|node{}|1-02:03:04|None|repghost:8ec66d906972:d8c780b9"
    text = "\n".join(line.format(index, index % 4) for index in range(1000))
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        assert len(parse_queue(text)) == 1000
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.02


def test_accounting_says_how_jobs_ended_and_who_cancelled_them():
    text = (
        "7_0|CANCELLED by 0|None assigned\n7_1|CANCELLED by 0|n1\n8|NODE_FAIL|n2\n"
        "9|RUNNING|n1\n10|COMPLETED|n1\n11|CANCELLED by 99999999|n1\n"
    )
    assert parse_accounting(text) == {
        "7_0": Sight(Phase.ENDED, "cancelled by root", started=False),
        "7_1": Sight(Phase.ENDED, "cancelled by root", node="n1"),
        "8": Sight(Phase.ENDED, "node failure on n2", node="n2"),
        "10": Sight(Phase.ENDED, node="n1"),
        "11": Sight(Phase.ENDED, "cancelled by user 99999999", node="n1"),
    }


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        (
            "MaxArraySize            = 1001\nAccountingStorageType   = accounting_storage/none\n",
            Limits(1001, accounting=False),
        ),
        (
            "MaxArraySize = 1001\nSchedulerParameters = bf_interval=2,max_array_tasks=50\n"
            "AccountingStorageType = accounting_storage/slurmdbd",
            Limits(50, accounting=True),
        ),
        ("MaxArraySize = 0\nAccountingStorageType = (null)", Limits(1, accounting=False)),
    ],
)
def test_the_limits_are_found_in_the_clusters_configuration(text: str, limits: Limits):
    assert parse_limits(text) == limits


@pytest.mark.parametrize(
    "said",
    [
        f"sbatch: error: QOSMaxSubmitJobPerUserLimit\n{POLICY}",
        f"sbatch: error: AssocMaxSubmitJobLimit\n{POLICY}",
        f"sbatch: error: AssocGrpSubmitJobsLimit\n{POLICY}",
        POLICY,
        "sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying",
        "sbatch: error: Slurm job queue full, sleeping and retrying",
        "sbatch: Job creation temporarily disabled, retrying",
    ],
)
def test_a_limit_on_submitted_jobs_means_later(said: str):
    assert isinstance(refusal(said), Full)


def test_the_limit_that_was_met_is_named():
    assert str(refusal(f"sbatch: error: QOSMaxSubmitJobPerUserLimit\n{POLICY}")) == (
        "QOSMaxSubmitJobPerUserLimit"
    )


@pytest.mark.parametrize(
    "said",
    [
        "Unable to contact slurm controller (connect failure)",
        "Socket timed out on send/recv operation",
        "Slurm backup controller in standby mode",
        "Resource temporarily unavailable",
        "Zero Bytes were transmitted or received",
        "Transport endpoint is not connected",
    ],
)
def test_an_answer_that_did_not_come_means_that_nothing_is_known(said: str):
    error = refusal(f"sbatch: error: Batch job submission failed: {said}")
    assert isinstance(error, Unreachable) and said in str(error)


@pytest.mark.parametrize(
    ("said", "asked", "key"),
    [
        (
            "sbatch: error: invalid partition specified: gpus\nsbatch: error: Batch job submission"
            " failed: Invalid partition name specified",
            {"partition": "gpus"},
            "hydra.launcher.partition=gpus: ",
        ),
        (
            "sbatch: error: Batch job submission failed: Invalid account or account/partition"
            " combination specified",
            {"account": "me"},
            "hydra.launcher.account=me: ",
        ),
        (
            "sbatch: error: Batch job submission failed: Invalid qos specification",
            {"qos": "x"},
            "hydra.launcher.qos=x: ",
        ),
        (
            "sbatch: error: Batch job submission failed: Invalid feature specification",
            {"constraint": "a100"},
            "hydra.launcher.constraint=a100: ",
        ),
        (
            "sbatch: error: Memory specification can not be satisfied\nsbatch: error: Batch job"
            " submission failed: Requested node configuration is not available",
            {"mem_gb": 900.0, "cpus_per_task": 4},
            "hydra.launcher.mem_gb=900.0, hydra.launcher.cpus_per_task=4: ",
        ),
        (
            "sbatch: error: Invalid generic resource (gres) specification",
            {"gpus_per_node": 8},
            "hydra.launcher.gpus_per_node=8: ",
        ),
        (
            "sbatch: error: QOSMaxWallDurationPerJobLimit\n" + POLICY,
            {"timeout_min": 9999},
            "hydra.launcher.timeout_min=9999: ",
        ),
        (
            "sbatch: error: No partition specified or system default partition",
            {},
            "hydra.launcher.partition=null: ",
        ),
        (
            "sbatch: unrecognized option '--foo=1'\nTry \"sbatch --help\" for more information",
            {"additional_parameters": {"foo": 1}},
            "hydra.launcher.additional_parameters={'foo': 1}: ",
        ),
        ("sbatch: error: the cluster is for members", {}, "hydra/launcher=slurm: "),
    ],
)
def test_what_is_refused_for_good_names_the_key_to_change(said: str, asked: dict, key: str):
    error = refusal(said)
    assert isinstance(error, Refused)
    line = advice(str(error), SlurmSpec(**asked), ["main", "low"])
    assert line.startswith(key) and "\n" not in line
    assert ("partitions are main, low" in line) == ("partition" in key or "account" in key)


@pytest.fixture
def bin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that comes first on PATH, for commands that play a part of SLURM."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    command(folder, "sbatch", "echo 4711")
    return folder


def command(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/bash\n{script}\n")
    (folder / name).chmod(0o755)


def test_without_sbatch_it_says_in_one_line_what_to_do(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match=r"no sbatch here; .* hydra/launcher=local"):
        Cluster()


def test_the_job_number_of_a_federation_is_taken_without_the_clusters_name(bin: Path):
    command(bin, "sbatch", "echo '4711;alps'")
    assert Cluster().submit(Path("job.sh")) == "4711"


def test_an_sbatch_that_would_sleep_and_retry_is_ended_at_once(bin: Path):
    command(
        bin,
        "sbatch",
        "echo 'sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying' >&2\n"
        "exec sleep 30",
    )
    start = time.monotonic()
    with pytest.raises(Full, match="full"):
        Cluster().submit(Path("job.sh"))
    assert time.monotonic() - start < 5


def test_a_command_that_hangs_counts_as_no_answer(bin: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cluster, "ANSWER_S", 0.3)
    command(bin, "sbatch", "exec sleep 30")
    command(bin, "squeue", "exec sleep 30")
    with pytest.raises(Unreachable, match=r"sbatch did not answer within 0\.3 s"):
        Cluster().submit(Path("job.sh"))
    with pytest.raises(Unreachable, match=r"squeue did not answer within 0\.3 s"):
        Cluster().queue()


def test_a_squeue_that_fails_is_no_empty_queue(bin: Path):
    command(bin, "squeue", "echo 'slurm_load_jobs error: Unable to contact' >&2; exit 1")
    with pytest.raises(Unreachable, match="Unable to contact"):
        Cluster().queue()


def test_a_missing_command_is_no_empty_queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    command(tmp_path, "sbatch", "true")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unreachable, match="squeue"):
        Cluster().queue()


def test_what_the_user_set_for_squeue_does_not_hide_jobs(
    bin: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SQUEUE_PARTITION", "low")
    command(bin, "squeue", 'echo "7|RUNNING|n1|9|None|${SQUEUE_PARTITION:-all}"')
    assert Cluster().queue()["7"].comment == "all"


def test_a_driver_that_is_a_job_itself_does_not_pass_its_own_variables_on(
    bin: Path, monkeypatch: pytest.MonkeyPatch
):
    for name in ("SLURM_JOB_ID", "SLURM_ARRAY_TASK_ID", "SLURM_MEM_PER_CPU"):
        monkeypatch.setenv(name, "7")
    monkeypatch.setenv("SLURM_CONF", "/etc/other.conf")
    command(bin, "sbatch", 'echo "${SLURM_ARRAY_TASK_ID:-none}$SLURM_MEM_PER_CPU$SLURM_CONF"')
    assert Cluster().submit(Path("job.sh")) == "none/etc/other.conf"


def test_jobs_are_cancelled_in_few_commands_and_ended_ones_do_not_matter(bin: Path, tmp_path: Path):
    log = tmp_path / "log"
    command(bin, "scancel", f"echo $# >> {log}; echo 'error: Invalid job id specified' >&2; exit 1")
    Cluster().cancel([str(number) for number in range(1200)])
    assert [int(line) for line in log.read_text().split()] == [501, 501, 201]


def test_a_scancel_without_an_answer_is_not_taken_for_done(bin: Path):
    command(bin, "scancel", "echo 'error: Unable to contact slurm controller' >&2; exit 1")
    with pytest.raises(Unreachable):
        Cluster().cancel(["7"])
