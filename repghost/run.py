"""The folder of one run, `outputs/runs/<key>/`: what is in it, and what it says about the run."""

import contextlib
import json
import shutil
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from repghost.atomic import read_json, write_json, write_text
from repghost.lock import Lock
from repghost.variant import Variant

Shape = tuple[int, int, int, int]


class Run:
    """The files of one variant. Shared by all studies; whoever works in it holds its lock."""

    def __init__(self, outputs: str | Path, key: str) -> None:
        self.outputs, self.key = Path(outputs), key
        self.folder = self.outputs / "runs" / self.key
        self.lock = Lock(self.folder / "run.lock")
        self.onnx = self.folder / "model.onnx"
        self.mnn = self.folder / "model.mnn"
        self.checkpoint = self.folder / "checkpoint.pt"
        self.examples = self.folder / "examples.json"  # of a detector
        self._certificate = self.folder / "certificate.json"
        self._result = self.folder / "result.json"
        self._error = self.folder / "error.txt"

    def write_config(self, variant: Variant) -> None:
        """Write `config.yaml`: what the result depends on."""
        text = OmegaConf.to_yaml(OmegaConf.create(variant.config()))
        write_text(self.folder / "config.yaml", text)

    def certificate(self) -> dict[str, Any]:
        """Return the evidence gathered so far; `deployed` has one entry for each input shape."""
        return read_json(self._certificate) or {"key": self.key, "deployed": {}}

    def add_evidence(self, **evidence: Any) -> None:
        """Add named pieces of evidence to `certificate.json`."""
        write_json(self._certificate, self.certificate() | evidence)

    def add_deployed(self, shape: Shape, graph: dict[str, Any]) -> None:
        """Note fingerprint and cost of a certified network at an input shape (N, C, H, W)."""
        deployed = self.certificate()["deployed"] | {_shape_name(shape): graph}
        self.add_evidence(deployed=deployed)

    def deployed(self, shape: Shape) -> dict[str, Any] | None:
        """Return fingerprint and cost of the deployed network at an input shape, if known."""
        found: dict[str, Any] | None = self.certificate()["deployed"].get(_shape_name(shape))
        return found

    def graphs(self, shape: Shape) -> list[str]:
        """Return the fingerprints of what is timed: the deployed network, a detector's backbone."""
        deployed = self.deployed(shape) or {}
        found = (deployed, deployed.get("backbone"))
        return [graph["fingerprint"] for graph in found if graph]

    def result(self) -> dict[str, Any] | None:
        """Return the scores of a finished run, None before."""
        return read_json(self._result)

    def remarks(self) -> list[str]:
        """Return what the user should know beside the numbers: what stayed unfused, was skipped."""
        result = self.result() or {}
        kept, skipped = self.certificate().get("not_folded", []), result.get("skipped_images", [])
        parts = [f"{len(kept)} parts could not be folded and run as they are: {_few(kept)}"]
        images = [f"{len(skipped)} images could not be read and were skipped: {_few(skipped)}"]
        return [
            *(parts if kept else []),
            *result.get("warnings", []),
            *(images if skipped else []),
        ]

    def finish(self, result: dict[str, Any]) -> None:
        """Write `result.json`: from now on the run is finished."""
        write_json(self._result, result)
        (self.folder / "checkpoint.prev.pt").unlink(missing_ok=True)

    def error(self) -> str | None:
        """Return the reason of the last failure in one line, None where there was none."""
        try:
            return self._error.read_text().splitlines()[0]
        except (OSError, IndexError):
            return None

    def fail(self, reason: str, trace: str) -> None:
        """Write `error.txt`: the reason in one line, then the traceback (if the disk takes it)."""
        line = " ".join(reason.split()) or "failed without a message"
        with contextlib.suppress(OSError):
            write_text(self._error, f"{line}\n\n{trace}")

    def tidy(self) -> None:
        """Remove the drafts of files that a kill left behind; the caller holds the lock."""
        for draft in self.folder.glob(".*"):
            shutil.rmtree(draft) if draft.is_dir() else draft.unlink(missing_ok=True)

    def forgive(self) -> None:
        """Remove the reason of an earlier failure, before another try."""
        self._error.unlink(missing_ok=True)

    def history(self) -> list[dict[str, Any]]:
        """Return the records of the epochs so far; a line torn by a kill is left out."""
        try:
            lines = (self.folder / "metrics.jsonl").read_text().splitlines()
        except OSError:
            return []
        records = []
        for line in lines:
            with contextlib.suppress(ValueError):
                records.append(json.loads(line))
        return records


def _shape_name(shape: Shape) -> str:
    return "x".join(map(str, shape))


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
