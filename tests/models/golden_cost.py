"""Make golden_cost.csv again: `python tests/models/golden_cost.py`; `git diff` shows what moved.

The paper's columns (arXiv:2211.06088, Table 3) are kept, ours are measured.
"""

import csv
from pathlib import Path

from repghost.models.cost import count
from repghost.models.registry import build
from repghost.models.spec import ModelSpec

GOLDEN = Path(__file__).with_name("golden_cost.csv")


def read():
    with GOLDEN.open(newline="") as file:
        return list(csv.DictReader(file))


def measured(row):
    cost = count(build(ModelSpec(width=float(row["width"]))), (3, 224, 224))
    return {"params": str(cost.params), "macs": str(cost.macs)}


def main():
    rows = [row | measured(row) for row in read()]
    with GOLDEN.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
