"""At a device: what was claimed is timed in one session and kept, network by network."""

import platform
import time
import uuid
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from textwrap import shorten
from typing import TypeVar

from repghost.latency.devices.contract import Device, DeviceError
from repghost.latency.protocol import Loader, Outcome, paper
from repghost.latency.pulse import pulsing
from repghost.latency.queue.database import StoreError
from repghost.latency.queue.requests import Claim, Requests
from repghost.latency.record import DeviceState, Identity, Measurement
from repghost.latency.session import paired_session

SEED = 0
RENEWALS = 4  # of a lease: the database may be away for three quarters of one
AWAY_S = 2.0  # between two tries at a database that does not answer
QUOTES, MOST_CHATTER = "; it said: ", 200  # what a runtime said, and how much of it is kept
Say = Callable[[str], None]
T = TypeVar("T")


class Bench:
    """Times claims on one device; each result is kept as soon as it is known.

    `check` is called between samples and raises what should end the work: the claims that are left
    are given back. `folder` is for the networks' files.
    """

    def __init__(
        self,
        device: Device,
        requests: Requests,
        folder: Path,
        *,
        say: Say,
        check: Callable[[], None] = lambda: None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._device, self._requests, self._folder = device, requests, folder
        self._say, self._check, self._sleep = say, check, sleep

    def serve(self, claims: Sequence[Claim]) -> int:
        """Measure the claims of one session; return how many of them stand.

        Raises:
            DeviceError: the device cannot be timed on; what is left is back in the queue.
        """
        left = {claim.id: claim for claim in claims}
        kept = 0
        renew = partial(self._renew, left)
        with pulsing(self._requests.lease_s / RENEWALS, renew, "leases"):
            try:
                with closing(self._session(list(claims))) as session:  # it has the device entered
                    for claim, found in session:
                        kept += self._keep(claim, found)
                        del left[claim.id]
            except DeviceError as error:
                self._give_back(left, f"{self._device.name}: {error}")
                raise
            except BaseException:
                self._give_back(left, "")
                raise
        return kept

    def _session(
        self, claims: list[Claim]
    ) -> Generator[tuple[Claim, Measurement | ValueError], None, None]:
        """Yield each claim with what was found, in the order in which they end."""
        session, files = uuid.uuid4().hex, [self._file(claim.model) for claim in claims]
        gone = [claim for claim, file in zip(claims, files, strict=True) if file is None]
        for claim in gone:
            yield claim, ValueError("its file is gone from the database; run the sweep again")
        there = [(claim, file) for claim, file in zip(claims, files, strict=True) if file]
        if not there:
            return
        with self._device:
            for index, found in self._outcomes(there):
                claim = there[index][0]
                if isinstance(found, ValueError):
                    yield claim, found
                else:
                    yield claim, measured(claim.identity, found, session, self._device.state())

    def _outcomes(
        self, there: Sequence[tuple[Claim, Path]]
    ) -> Iterator[tuple[int, Outcome | ValueError]]:
        loaders = [self._loader(claim, file) for claim, file in there]
        if there[0][0].identity.protocol == "paper":
            return self._paper(loaders)
        reference = self._file(there[0][0].reference or "")
        if reference is None:
            error = ValueError("the file of its reference network is gone; run the sweep again")
            return ((index, error) for index in range(len(there)))
        usual_ms = patiently(
            partial(self._requests.usual_ms, there[0][0].identity), self._say, self._sleep
        )
        self._device.ready(self._sleep)  # warming networks up would heat a hot phone
        return paired_session(
            loaders,
            self._loader(there[0][0], reference),
            there[0][0].budget,
            seed=SEED,
            usual_ms=usual_ms,
            fewest_runs=self._device.fewest_runs,
            before_block=partial(self._device.ready, self._sleep),
            check=self._check,
        )

    def _paper(self, loaders: Sequence[Loader]) -> Iterator[tuple[int, Outcome | ValueError]]:
        for index, load in enumerate(loaders):
            self._check()
            flags = tuple(self._device.ready(self._sleep))
            try:
                yield index, paper(load(), SEED, flags)
            except ValueError as error:
                yield index, error

    def _loader(self, claim: Claim, file: Path) -> Loader:
        how = claim.identity.threads, claim.identity.numerics
        return partial(self._device.load, file, *how)

    def _file(self, digest: str) -> Path | None:
        """Return the file of that content, fetched once; None where it is gone."""
        path = self._path(digest)
        if not path.exists():
            content = patiently(partial(self._requests.model, digest), self._say, self._sleep)
            if content is None:
                return None
            path.write_bytes(content)
        return path

    def _path(self, digest: str) -> Path:
        return self._folder / f"{digest[:24]}.network"

    def _keep(self, claim: Claim, found: Measurement | ValueError) -> bool:
        if isinstance(found, ValueError):
            why = self._in_names(str(found), claim)
            self._say(f"{claim.label}: {why.removeprefix(f'{claim.label}: ')}")
            patiently(partial(self._requests.fail, claim, why), self._say, self._sleep)
            return False
        finish = partial(self._requests.finish, claim, found)
        stands = patiently(finish, self._say, self._sleep)
        words = in_words(found) if stands else "its lease was lost: another worker measures it"
        self._say(f"{claim.label}: {words}")
        return stands

    def _in_names(self, said: str, claim: Claim) -> str:
        """Return an error in a line that names networks rather than our files of them."""
        names = {claim.model: claim.label, claim.reference: claim.identity.reference}
        for digest, name in names.items():
            if digest is not None:
                said = said.replace(str(self._path(digest)), name)
        what, quotes, chatter = " ".join(said.split()).partition(QUOTES)
        return what + quotes + shorten(chatter, MOST_CHATTER, placeholder=" ...")

    def _give_back(self, left: dict[int, Claim], why: str) -> None:
        """Put back what is not measured; where the database is away the leases run out."""
        try:
            self._requests.give_back(list(left.values()), why)
        except StoreError as error:
            self._say(f"{error}; what was claimed is free again when its lease ends")

    def _renew(self, left: dict[int, Claim]) -> None:
        with suppress(StoreError):  # a server that is away may be back in time
            self._requests.renew(list(left.values()))


def patiently(work: Callable[[], T], say: Say, sleep: Callable[[float], None]) -> T:
    """Return what `work` returns; while the database does not answer, say so once and try again."""
    said = False
    while True:
        try:
            return work()
        except StoreError as error:
            if not error.away:
                raise
            if not said:
                say(f"{error}; trying again")
            said = True
            sleep(AWAY_S)


def measured(identity: Identity, outcome: Outcome, session: str, state: DeviceState) -> Measurement:
    """Return an outcome with its evidence, as it is kept."""
    latency, ratio = outcome.latency, outcome.ratio
    return Measurement(
        identity=identity,
        latency_ms=latency.value,
        latency_low=latency.low,
        latency_high=latency.high,
        latency_ratio=ratio.value if ratio else None,
        ratio_low=ratio.low if ratio else None,
        ratio_high=ratio.high if ratio else None,
        reference_ms=outcome.reference_median_ms,
        samples_ms=tuple(outcome.samples_ms.tolist()),
        reference_samples_ms=tuple(outcome.reference_samples_ms.tolist()),
        runs_per_sample=outcome.runs_per_sample,
        samples_per_round=outcome.samples_per_round,
        settled=outcome.settled,
        ended=outcome.ended,
        flags=outcome.flags,
        device_state=state
        | {"warmed_up": outcome.warmed_up, "rounds_counted": outcome.rounds_counted},
        session=session,
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
        host=platform.node(),
    )


def in_words(found: Measurement) -> str:
    """Return a measurement in a line."""
    if found.latency_ratio is None:
        return f"{found.latency_ms:.3f} ms ({found.ended})"
    bounds = f"[{found.ratio_low:.3f}, {found.ratio_high:.3f}]"
    return (
        f"{found.latency_ms:.3f} ms, {found.latency_ratio:.3f} {bounds} times {found.reference}"
        f" ({found.ended}, {found.n // found.samples_per_round} rounds)"
    )
