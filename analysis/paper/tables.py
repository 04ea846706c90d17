"""The rows of the paper's Tables 3, 5 and 7, each with the entry of `repghost.models.paper`."""

import csv
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib.resources import files

from repghost.models.paper import ENTRIES
from repghost.models.repghost_spec import RepGhostNetSpec
from repghost.models.spec import ModelSpec

TABLES = ("Table 3", "Table 5", "Table 7")
BASE = "repghostnet-0.5x"  # what every latency is divided by


@dataclass(frozen=True)
class PaperRow:
    """One row as printed: parameters in M; MACs in M (Table 3) or B (Table 5); latency in ms,
    top-1 on ImageNet in percent.

    `name` is the entry's: the networks of Table 7 with shortcuts are those of Table 3.
    """

    table: str
    label: str
    name: str
    params_m: Decimal | None
    macs: Decimal | None
    latency_ms: float | None
    top1: float | None = None

    @property
    def spec(self) -> ModelSpec:
        """The network of this row."""
        return ENTRIES[self.name].spec

    @property
    def ratio(self) -> float | None:
        """The latency over that of RepGhostNet 0.5x."""
        return None if self.latency_ms is None else self.latency_ms / _base_ms()


def paper_rows(*tables: str) -> list[PaperRow]:
    """Return the rows of these tables in the paper's order."""
    makers = {"Table 3": _table3, "Table 5": _table5, "Table 7": _table7}
    return [row for table in tables for row in makers[table]()]


def read_csv(name: str) -> list[dict[str, str]]:
    """Return the records of one of the tables that lie beside this module."""
    text = (files("analysis.paper") / name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def _table3() -> list[PaperRow]:
    return [
        PaperRow(
            table="Table 3",
            label=f"{record['model']} {record['width']}x" if record["width"] else record["model"],
            name=_named("Table 3", record["model"], record["width"]),
            params_m=Decimal(record["params_m"]),
            macs=Decimal(record["macs_m"]),
            latency_ms=_number(record["latency_ms"]),
            top1=_number(record["top1"]),
        )
        for record in read_csv("table3_imagenet.csv")
    ]


def _table5() -> list[PaperRow]:
    return [
        PaperRow(
            table="Table 5",
            label=f"{record['model']} s={record['s']}",
            name=_named("Table 5", record["model"], record["s"]),
            params_m=Decimal(record["params_m"]),
            macs=Decimal(record["macs_b"]),
            latency_ms=_number(record["mnn_latency_ms"]),
            top1=_number(record["top1"]),
        )
        for record in read_csv("table5_res50.csv")
    ]


def _table7() -> list[PaperRow]:
    rows = []
    for record in read_csv("table7_shortcut.csv"):
        shortcut = record["shortcut"] == "true"
        spec = RepGhostNetSpec(width=float(record["width"]), shortcut=shortcut)
        name = next(name for name, entry in ENTRIES.items() if entry.spec == spec)
        label = f"RepGhostNet {record['width']}x{'' if shortcut else ' (no shortcut)'}"
        ms = _number(record["latency_ms"])
        rows.append(PaperRow("Table 7", label, name, None, None, ms, _number(record["top1"])))
    return rows


def _named(*place: str) -> str:
    """Return the name of the entry that stands for a place: table, model, knob."""
    return next(n for n, e in ENTRIES.items() if (e.place, e.model, e.knob) == place)


@cache
def _base_ms() -> float:
    ms = next(row.latency_ms for row in _table3() if row.name == BASE)
    assert ms is not None
    return ms


def _number(text: str) -> float | None:
    return float(text) if text else None
