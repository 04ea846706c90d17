"""Table 4 beside a study of detectors: latency, the backbone's share, average precision."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from analysis.paper.measured import as_printed, data_of_run, spec_of_run
from analysis.paper.sheet import Sheet
from analysis.paper.tables import read_csv
from analysis.results import Results, Row
from analysis.texts import MISSING, ms_digits, number
from repghost.detection.spec import DETECTORS
from repghost.models.baselines import MobileNetV2Spec, MobileNetV3Spec
from repghost.models.repghost_spec import GhostNetSpec, RepGhostNetSpec
from repghost.models.spec import ModelSpec

HEADINGS = (
    "backbone",
    "detector",
    "ms\nhere",
    "its\nbackbone",
    "share",
    "box\nmAP",
    "mask\nmAP",
)
PAPER = ("paper:\nback-\nbone ms", "Retina-\nNet s", "box\nmAP", "mask\nmAP")
BACKBONES: dict[str, Callable[..., ModelSpec]] = {
    "MobileNetV2": MobileNetV2Spec,
    "MobileNetV3": partial(MobileNetV3Spec, size="large"),
    "GhostNet": GhostNetSpec,
    "RepGhostNet": RepGhostNetSpec,
}
Cells = tuple[str, ...]


def table4_sheet(results: Results) -> Sheet:
    """Return the detectors of a study beside the paper's."""
    runs = [(row, _config(results, row)) for row in results.rows if row.detector]
    return Sheet(
        "Table 4: detectors, here and in the paper",
        (*HEADINGS, *PAPER),
        [_cells(row, spec_of_run(config)) for row, config in runs],
        tuple(_notes(runs)),
        names=2,
    )


def _config(results: Results, row: Row) -> Path:
    return results.runs_dir / row.key / "config.yaml"


def _cells(row: Row, spec: ModelSpec | None) -> Cells:
    """Return a run's cells; a backbone that is not known goes by the run's key."""
    share = row.of_detector.get("backbone_share")
    return (
        spec.describe() if spec else row.key,
        DETECTORS.get(row.detector, row.detector),
        *map(_ms, (row.latency_ms, row.of_detector.get("backbone_ms"))),
        MISSING if share is None else f"{100 * share:.1f} %",
        *(number(row.scored(name), 1) for name in ("map", "mask_map")),
        *_papers(row.detector, spec),
    )


def _ms(ms: float | None) -> str:
    return MISSING if ms is None else number(ms, ms_digits(ms))


def _papers(detector: str, spec: ModelSpec | None) -> Cells:
    """Return the paper's numbers of this backbone, of the paper's form, under this detector."""
    for record in read_csv("table4_coco.csv"):
        printed = BACKBONES[record["backbone"]](width=float(record["width"]))
        if spec and as_printed(spec) == as_printed(printed):
            names = ("retinanet_latency_s", f"{detector}_map_bbox", f"{detector}_map_mask")
            return (record["backbone_latency_ms"], *(record.get(n) or MISSING for n in names))
    return (MISSING,) * len(PAPER)


def _notes(runs: Sequence[tuple[Row, Path]]) -> Iterator[str]:
    rows = [row for row, _ in runs]
    data = sorted({data_of_run(config) for row, config in runs if row.score is not None})
    trained = f"Trained on {', '.join(data)}" if data else "Not trained"
    measured = [row for row in rows if row.latency_ms is not None]
    places = sorted({f"{row.device} beside {row.reference}" for row in measured})
    timed = f"timed on {'; '.join(places)} (its name holds the input's shape)"
    yield (
        f"{trained}; {timed if places else 'not timed yet'}. The paper"
        " trained on COCO and timed on an ARM phone, at a size that it does not say: no number"
        " here is one of its."
    )
    yield (
        "ms: of RetinaNet backbone, pyramid and heads, of Mask R-CNN its first stage, without"
        " post-processing; share: of the backbone's features, timed alone at the same size. The"
        " paper's RetinaNet latency stands in both rows of a backbone."
    )
