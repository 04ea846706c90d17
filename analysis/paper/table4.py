"""Table 4 beside a study of detectors: latency, the backbone's share, average precision."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from analysis.paper.sheet import Sheet
from analysis.paper.tables import read_csv
from repghost.detection.spec import DETECTORS
from repghost.models.registry import spec_class

MISSING = "-"
HEADINGS = ("backbone", "detector", "ms here", "backbone ms", "share", "box mAP", "mask mAP")
PAPER = ("paper: backbone ms", "RetinaNet s", "box mAP", "mask mAP")
Cells = tuple[str, ...]


def table4_sheet(study: Path) -> Sheet:
    """Return the detectors of a study beside the paper's.

    Raises:
        ValueError: there is no results.csv, or no detector in it.
    """
    path = study / "results.csv"
    if not path.is_file():
        raise ValueError(f"{path}: no such file; name a study that a sweep has written")
    with path.open(newline="", encoding="utf-8") as lines:
        rows = [row for row in csv.DictReader(lines) if row.get("detector")]
    if not rows:
        raise ValueError(f"{path}: holds no detector; see python launch.py -m +sweeps=table4")
    configs = [_config(study, row["key"]) for row in rows]
    cells = [_cells(*pair) for pair in zip(rows, configs, strict=True)]
    return Sheet(
        "Table 4: detectors, here and in the paper",
        (*HEADINGS, *PAPER),
        cells,
        tuple(_notes(rows, configs)),
        names=2,
    )


def _config(study: Path, key: str) -> dict[str, Any]:
    path = study.parent / "runs" / key / "config.yaml"
    if not path.is_file():
        raise ValueError(f"{path}: no such file; the study's runs lie beside it")
    found: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


def _cells(row: dict[str, str], config: dict[str, Any]) -> Cells:
    model = config["model"]
    share = f"{100 * float(row['backbone_share']):.1f} %" if row["backbone_share"] else MISSING
    return (
        spec_class(model["family"])(**model).describe(),
        DETECTORS[row["detector"]],
        *(_number(row[name], 3) for name in ("latency_ms", "backbone_ms")),
        share,
        *(_number(row[name], 1) for name in ("map", "mask_map")),
        *_papers(row["detector"], model),
    )


def _papers(detector: str, model: dict[str, Any]) -> Cells:
    """Return the paper's numbers of this backbone under this detector."""
    for record in read_csv("table4_coco.csv"):
        named = record["backbone"].lower() == model["family"]
        is_small = model.get("size") == "small"
        if named and not is_small and float(record["width"]) == model.get("width"):
            names = ("retinanet_latency_s", f"{detector}_map_bbox", f"{detector}_map_mask")
            return (record["backbone_latency_ms"], *(record.get(n) or MISSING for n in names))
    return (MISSING,) * len(PAPER)


def _notes(rows: list[dict[str, str]], configs: list[dict[str, Any]]) -> Iterator[str]:
    roots = sorted({str(config["data"]["root"]) for config in configs})
    sizes = sorted({row["reference"] for row in rows})
    yield (
        f"Trained on {', '.join(roots)}; timed on {', '.join(sorted({r['device'] for r in rows}))}"
        f" beside {', '.join(sizes)} (its name holds the input's shape). The paper trained on COCO"
        " and timed on an ARM phone, at a size that it does not say: no number here is one of its."
    )
    yield (
        "ms: of RetinaNet backbone, pyramid and heads, of Mask R-CNN its first stage, without"
        " post-processing; share: of the backbone's features, timed alone at the same size. The"
        " paper's RetinaNet latency stands in both rows of a backbone."
    )


def _number(text: str, digits: int) -> str:
    return f"{float(text):.{digits}f}" if text else MISSING
