"""Make golden_cost.csv again: `python tests/golden_cost.py`; `git diff` shows what moved."""

import csv
from pathlib import Path

from repghost.costs import costs
from repghost.models.paper import ENTRIES

GOLDEN = Path(__file__).with_name("golden_cost.csv")


def read():
    with GOLDEN.open(newline="") as file:
        return {row.pop("name"): row for row in csv.DictReader(file)}


def main():
    rows = list(costs(ENTRIES))
    with GOLDEN.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
