"""What the queue of measurements does in every database; a class inherits this and gives `url`."""

import itertools
import os
import platform
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import func, select, update
from store_contract import IDENTITY, MEASURED

from repghost.latency.queue.process import Process
from repghost.latency.queue.requests import (
    MOST_ATTEMPTS,
    MOST_LOSSES,
    Claim,
    Request,
    Requests,
)
from repghost.latency.queue.tables import BlobRow, FlagRow, MeasurementRow, WorkerRow
from repghost.latency.queue.workers import Announcement, KnownDevice, Taken, Workers, placeholder
from repghost.latency.record import Budget, Identity, Measurement
from repghost.latency.store import Store

PHONE = KnownDevice("adb: Some Phone", "3.6.1")
BUDGET = Budget(0.01, 600, 120.0)

CLAIM_MANY = """
import sys
from queue_contract import PHONE, by, measured
from repghost.latency.queue.database import Database
from repghost.latency.queue.requests import Requests
print("ready", flush=True)
sys.stdin.readline()
requests = Requests(Database(sys.argv[1]))
while claims := requests.claim(*PHONE, by(sys.argv[2]), 2):
    for claim in claims:
        print(claim.identity.fingerprint, requests.finish(claim, measured(claim, sys.argv[2])))
"""


def request(fingerprint: str, name: str = "pixel", device: KnownDevice = PHONE) -> Request:
    """Return a request whose files are the bytes of its graph's name, and a shared reference."""
    identity = Identity(
        *(fingerprint, device.profile, "paired", 1, device.mnn_version, "repghostnet-0.5x")
    )
    return Request(identity, name, f"network {fingerprint}", BUDGET, fingerprint.encode(), b"ref")


def by(host: str) -> Process:
    """Return a process of another host, of which nobody here can tell whether it lives."""
    return Process(host, 7)


def measured(claim: Claim, host: str = "here") -> Measurement:
    """Return a made-up result of a claim."""
    return replace(MEASURED, identity=claim.identity, session=claim.token, host=host)


def start_claimer(url: str, by: str) -> "subprocess.Popen[str]":
    """Return a process that has said that it is ready, and empties the queue when told to."""
    paths = [str(Path(__file__).parent), *filter(None, sys.path)]
    claimer = subprocess.Popen(
        [sys.executable, "-c", CLAIM_MANY, url, by],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert claimer.stdout is not None and claimer.stdout.readline() == "ready\n"
    return claimer


def age(requests: Requests, seconds: float) -> None:
    """Let all leases be so many seconds older."""
    with requests.database.writing() as session:
        older = MeasurementRow.lease_until - seconds
        session.execute(update(MeasurementRow).values(lease_until=older))


def blobs(requests: Requests) -> int:
    with requests.database.reading() as session:
        return session.execute(select(func.count()).select_from(BlobRow)).scalar_one()


class QueueContract:
    """Tests of the queue and the workers at the fixture `url`, the database of which is empty."""

    @pytest.fixture
    def store(self, url: str) -> Store:
        return Store(url)

    @pytest.fixture
    def requests(self, store: Store) -> Requests:
        return Requests(store.database)

    def test_what_was_asked_for_is_claimed_with_its_files_and_done(
        self, requests: Requests, store: Store
    ) -> None:
        requests.add(request("a"))
        (claim,) = requests.claim(*PHONE, by("me"), 8)
        assert claim.identity == request("a").identity and claim.budget == BUDGET
        assert claim.label == "network a"
        assert requests.model(claim.model) == b"a"
        assert claim.reference is not None and requests.model(claim.reference) == b"ref"
        assert requests.finish(claim, measured(claim))
        assert store.find(claim.identity) == measured(claim)
        assert requests.waiting() == [] and requests.claim(*PHONE, by("me"), 8) == []

    def test_files_are_kept_once_and_removed_when_nobody_waits_for_them(
        self, requests: Requests
    ) -> None:
        for name in ("a", "b"):
            requests.add(request(name))
        assert blobs(requests) == 3  # a, b and one reference
        first, second = requests.claim(*PHONE, by("me"), 8)
        requests.finish(first, measured(first))
        assert blobs(requests) == 2
        requests.finish(second, measured(second))
        assert blobs(requests) == 0

    def test_what_is_known_or_waits_is_not_asked_for_again(self, requests: Requests) -> None:
        for _ in range(2):
            requests.add(request("a"))
        assert len(requests.waiting()) == 1
        (claim,) = requests.claim(*PHONE, by("me"), 8)
        requests.add(request("a"))
        requests.finish(claim, measured(claim))
        requests.add(request("a"))
        assert requests.waiting() == [] and blobs(requests) == 0

    def test_what_is_claimed_is_not_claimed_by_another(self, requests: Requests) -> None:
        for name in "abc":
            requests.add(request(name))
        mine, yours = requests.claim(*PHONE, by("me"), 2), requests.claim(*PHONE, by("you"), 2)
        names = [claim.identity.fingerprint for claim in [*mine, *yours]]
        assert names == ["a", "b", "c"]
        assert [one.claimed_by for one in requests.waiting()] == [by("me"), by("me"), by("you")]

    def test_only_what_fits_a_device_its_version_and_one_session_is_claimed_together(
        self, requests: Requests
    ) -> None:
        requests.add(request("a"))
        requests.add(request("b", "other", KnownDevice("adb: Other Phone", "3.6.1")))
        requests.add(request("c", "pixel", KnownDevice(PHONE.profile, "3.7.0")))
        wide = request("d")
        requests.add(replace(wide, identity=replace(wide.identity, threads=4)))
        requests.add(replace(request("e"), budget=Budget(0.05, 10, 1.0)))
        again = request("a")
        requests.add(replace(again, identity=replace(again.identity, repeat=1)))
        claimed = []
        while claims := requests.claim(*PHONE, by("me"), 8):
            claimed.append([claim.identity.fingerprint for claim in claims])
        assert claimed == [["a"], ["d"], ["e"], ["a"]]

    def test_a_lease_that_is_renewed_is_kept_and_one_that_ran_out_is_taken_over(
        self, requests: Requests, store: Store
    ) -> None:
        requests.add(request("a"))
        (late,) = requests.claim(*PHONE, by("late"), 8)
        age(requests, 50.0)
        assert requests.renew([late]) == {late.id}
        age(requests, 50.0)
        assert requests.claim(*PHONE, by("next"), 8) == []
        age(requests, 20.0)
        (claim,) = requests.claim(*PHONE, by("next"), 8)
        assert claim.identity == late.identity and claim.token != late.token
        assert requests.renew([late]) == set()
        assert not requests.finish(late, measured(late, "late")), "its lease was lost"
        requests.fail(late, "too late")
        requests.give_back([late])
        assert requests.finish(claim, measured(claim, "next"))
        found = store.find(claim.identity)
        assert found is not None and found.host == "next"

    def test_what_a_process_of_this_host_held_is_free_as_soon_as_it_is_gone(
        self, requests: Requests
    ) -> None:
        requests.add(request("a"))
        with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
            holder = Process(platform.node(), process.pid)
            (claim,) = requests.claim(*PHONE, holder, 8)
            assert requests.claim(*PHONE, by("me"), 8) == []
        (next_one,) = requests.claim(*PHONE, by("me"), 8)
        assert next_one.token != claim.token and requests.renew([claim]) == set()
        (standing,) = requests.waiting()
        assert standing.losses == 1 and str(holder) in standing.why

    def test_who_did_not_hear_that_it_was_kept_may_say_it_again(self, requests: Requests) -> None:
        requests.add(request("a"))
        (claim,) = requests.claim(*PHONE, by("me"), 8)
        assert requests.finish(claim, measured(claim))
        assert requests.finish(claim, measured(claim, "again"))
        assert requests.finish(replace(claim, token="another"), measured(claim)) is False

    def test_a_network_that_makes_errors_fails_after_some_tries_and_can_be_retried(
        self, requests: Requests
    ) -> None:
        requests.add(request("a"))
        for _ in range(MOST_ATTEMPTS):
            (claim,) = requests.claim(*PHONE, by("me"), 8)
            requests.fail(claim, "MNN cannot load it")
        (standing,) = requests.waiting()
        assert (standing.state, standing.why) == ("failed", "MNN cannot load it")
        assert requests.claim(*PHONE, by("me"), 8) == []
        requests.add(request("a"))
        assert requests.claim(*PHONE, by("me"), 8) == [], "what has failed is not asked for unseen"
        assert requests.retry("elsewhere") == 0 and requests.retry("pixel") == 1
        (claim,) = requests.claim(*PHONE, by("me"), 8)
        assert requests.model(claim.model) == b"a", "its file was kept for another try"
        for _ in range(MOST_ATTEMPTS):
            requests.fail(claim, "again")
            (claim,) = requests.claim(*PHONE, by("me"), 8) or [claim]
        requests.forgive(claim.identity)
        assert len(requests.claim(*PHONE, by("me"), 8)) == 1

    def test_what_is_given_back_is_as_if_never_claimed(self, requests: Requests) -> None:
        requests.add(request("a"))
        for _ in range(MOST_ATTEMPTS + 1):
            claims = requests.claim(*PHONE, by("me"), 8)
            requests.give_back(claims, "the phone is hot")
        (standing,) = requests.waiting()
        assert (standing.state, standing.attempts, standing.losses) == ("requested", 0, 0)
        assert standing.why == "the phone is hot" and standing.claimed_by is None

    def test_a_network_over_which_many_workers_die_fails_with_the_last_of_them(
        self, requests: Requests
    ) -> None:
        requests.add(request("a"))
        for _ in range(MOST_LOSSES):
            assert len(requests.claim(*PHONE, by("victim"), 8)) == 1
            age(requests, 100.0)
        assert requests.claim(*PHONE, by("victim"), 8) == []
        (standing,) = requests.waiting()
        assert standing.state == "failed" and standing.losses == MOST_LOSSES
        assert "its worker was lost (process 7 on victim)" in standing.why

    def test_of_many_graphs_only_what_waits_is_returned(self, requests: Requests) -> None:
        for name in "abc":
            requests.add(request(name))
        asked = ["a", "c", *(f"x{number}" for number in range(2000))]
        assert [one.identity.fingerprint for one in requests.waiting(asked)] == ["a", "c"]

    def test_repeats_that_do_not_agree_raise_a_flag_on_their_device(
        self, requests: Requests, store: Store
    ) -> None:
        ratios = ((1.26, 1.25, 1.27), (1.261, 1.25, 1.272), (1.30, 1.29, 1.31))
        for repeat, (ratio, low, high) in enumerate(ratios):
            asked = request("a")
            requests.add(replace(asked, identity=replace(asked.identity, repeat=repeat)))
            (claim,) = requests.claim(*PHONE, by("me"), 8)
            bounds = {"latency_ratio": ratio, "ratio_low": low, "ratio_high": high}
            requests.finish(claim, replace(measured(claim), **bounds))
            flags = store.flags(PHONE.profile)
            assert len(flags) == (2 if repeat == 2 else 0), flags
        assert "one graph, two latencies" in flags[0] and "[1.2900, 1.3100]" in flags[0]
        assert store.flags("adb: Other Phone") == []

    def test_how_long_the_reference_usually_takes_is_known_from_the_latest_of_three_sessions(
        self, requests: Requests, store: Store
    ) -> None:
        said = []
        for number, reference_ms in enumerate((9.0, 8.0, *[0.2] * 3, *[0.3] * 2)):
            identity = replace(IDENTITY, fingerprint=f"f{number}")
            session = {"session": f"s{number}", "measured_at": f"2025-01-{number + 1:02}T00:00:00"}
            store.add(replace(MEASURED, identity=identity, reference_ms=reference_ms, **session))
            said.append(requests.usual_ms(IDENTITY))
        assert said[:4] == [None, None, 8.0, pytest.approx(4.1)]
        assert said[-1] == 0.2, "the median of the last five"
        assert requests.usual_ms(replace(IDENTITY, threads=2)) is None

    def test_processes_that_claim_at_once_measure_everything_exactly_once(
        self, url: str, requests: Requests
    ) -> None:
        names = {f"f{number}" for number in range(40)}
        for name in sorted(names):
            requests.add(request(name))
        claimers = [start_claimer(url, by) for by in ("first", "second", "third")]
        for claimer in claimers:
            assert claimer.stdin is not None
            claimer.stdin.write("go\n")
            claimer.stdin.flush()
        said = [claimer.communicate(timeout=90)[0].splitlines() for claimer in claimers]
        assert [claimer.returncode for claimer in claimers] == [0, 0, 0]
        assert Counter(itertools.chain(*said)) == Counter(f"{name} True" for name in names)
        assert requests.waiting() == []

    def test_a_worker_is_seen_until_it_is_silent_and_replaced_only_then(self, store: Store) -> None:
        workers = Workers(store.database)
        mine = Announcement(store.database, "pixel", "SERIAL", "adb")
        assert mine.announce(PHONE, "idle") == 0
        (seen,) = workers.seen()
        assert seen.alive and seen.profile == PHONE.profile and seen.pid == os.getpid()
        other = Announcement(store.database, "pixel", "SERIAL", "adb")
        with pytest.raises(Taken, match=r"served by process \d+ on .*end that one first"):
            other.announce(PHONE, "idle")
        mine.beat("gone", "", failures=2)
        assert other.announce(PHONE, "idle") == 2, "failures are the device's, not the worker's"
        assert not mine.beat("idle", "") and other.beat("measuring", "a network")
        assert [(one.state, one.doing) for one in workers.seen()] == [("measuring", "a network")]

    def test_a_worker_that_was_killed_on_this_host_is_replaced_at_once(self, store: Store) -> None:
        mine = Announcement(store.database, "pixel", "SERIAL", "adb")
        mine.announce(PHONE, "idle")
        dead = subprocess.Popen([sys.executable, "-c", ""])
        dead.wait()
        with store.database.writing() as session:
            session.execute(update(WorkerRow).values(pid=dead.pid))
        Announcement(store.database, "pixel", "SERIAL", "adb").announce(PHONE, "idle")
        with store.database.writing() as session:
            session.execute(update(WorkerRow).values(pid=dead.pid, host="another"))
        with pytest.raises(Taken, match=f"served by process {dead.pid} on another"):
            Announcement(store.database, "pixel", "SERIAL", "adb").announce(PHONE, "idle")

    def test_one_name_is_not_given_to_two_kinds_of_device(self, store: Store) -> None:
        Announcement(store.database, "pixel", "ONE", "adb").announce(PHONE, "idle")
        Announcement(store.database, "pixel", "TWO", "adb").announce(PHONE, "idle")
        other = KnownDevice("adb: Other Phone", "3.6.1")
        with pytest.raises(Taken, match=r"device\.name=pixel.*give another device\.name"):
            Announcement(store.database, "pixel", "THREE", "adb").announce(other, "idle")

    def test_what_was_asked_before_a_device_was_known_is_its_once_it_is(
        self, requests: Requests, store: Store
    ) -> None:
        unknown = placeholder("pixel")
        requests.add(request("a", device=unknown))
        requests.add(request("b", device=unknown))
        assert requests.claim(*PHONE, by("me"), 8) == []
        requests.add(request("b"))  # somebody knew it already
        Announcement(store.database, "pixel", "SERIAL", "adb").announce(PHONE, "idle")
        assert Workers(store.database).known("pixel") == PHONE
        requests.add(request("c", device=unknown))  # by one who has not looked since
        claims = requests.claim(*PHONE, by("me"), 8)
        assert sorted(claim.identity.fingerprint for claim in claims) == ["a", "b", "c"]
        assert requests.waiting(["a", "b", "c"])[0].identity.device == PHONE.profile

    def test_a_device_with_another_runtime_takes_over_what_waited_for_the_former(
        self, requests: Requests, store: Store
    ) -> None:
        requests.add(request("a"))
        newer = KnownDevice(PHONE.profile, "3.7.0")
        Announcement(store.database, "pixel", "SERIAL", "adb").announce(newer, "idle")
        (claim,) = requests.claim(*newer, by("me"), 8)
        assert claim.identity.mnn_version == "3.7.0"

    def test_a_host_does_not_take_over_what_waits_for_another_hosts_own_cpu(
        self, requests: Requests, store: Store
    ) -> None:
        here = KnownDevice("local: This CPU", "3.6.1")
        requests.add(request("a", "local", here))
        there = KnownDevice("local: That CPU", "3.6.1")
        Announcement(store.database, "local", "that host", "local").announce(there, "idle")
        assert requests.claim(*there, by("that host"), 8) == []
        assert len(requests.claim(*here, by("this host"), 8)) == 1

    def test_a_forgotten_device_is_measured_anew(self, requests: Requests, store: Store) -> None:
        worker = Announcement(store.database, "pixel", "SERIAL", "adb")
        worker.announce(PHONE, "idle")
        for name in "ab":
            requests.add(request(name))
        claim = requests.claim(*PHONE, by("me"), 1)[0]
        requests.finish(claim, measured(claim))
        with requests.database.writing() as session:
            session.add(FlagRow(device=PHONE.profile, text="drifts", raised_at="today"))
        workers = Workers(store.database)
        with pytest.raises(ValueError, match="end that worker first"):
            workers.forget("pixel")
        worker.beat("gone", "")
        twin = Announcement(store.database, "twin", "OTHER", "adb")
        twin.announce(PHONE, "idle")
        with pytest.raises(ValueError, match=r"its profile \(adb: Some Phone\) as twin; end"):
            workers.forget("pixel")
        twin.beat("gone", "")
        with pytest.raises(ValueError, match="--device pixle: there is none; known are pixel"):
            workers.forget("pixle")
        with pytest.raises(ValueError, match="--device pixle: there is none; known are pixel"):
            workers.require("pixle")
        workers.require("pixel")
        assert workers.forget("pixel") == 2
        assert store.find(claim.identity) is None and store.flags(PHONE.profile) == []
        assert blobs(requests) == 0 and [one.name for one in workers.seen()] == ["twin"]
        requests.add(request("a", device=placeholder("pixel")))
        assert len(requests.waiting()) == 1
