"""How large a report of 500 runs is, and how long a browser takes to open it.

    python -m benchmarks.report [--study outputs/branches] [--runs 500] [--epochs 300]

The runs are not trained: they are the records of a real study's runs under other names (key, graph,
one more swept setting). So that points do not lie upon each other, each copy's latency is moved by
up to 15 %, its top-1 by half as much; curves and samples are repeated to `--epochs` and `--rounds`.
Without `--study` a small one is swept first (some minutes). Needs Debian's chromium and playwright.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from analysis.report import write_report
from analysis.results import load
from benchmarks.opening import Unwatched, browser
from repghost.latency.record import Measurement
from repghost.latency.store import Store

LIMIT_MB, LIMIT_S = 5.0, 2.0
OPENINGS = 5
SETTLE_S = 10.0  # a report is long open by then
SPREAD = 0.15
WORDS = (
    *("-m", "model.reparam=bn,id,dconv", "model.width=0.1,0.2", "seed=0,1", "recipe.epochs=3"),
    *("recipe.warmup_epochs=1", "latency.max_rounds=20", "latency.wait_s=0", "tracking=none"),
    "latency.profile=true",
)
TIMES = ("latency_ms", "latency_low", "latency_high", "latency_ratio", "ratio_low", "ratio_high")


def main() -> None:
    asked = _asked()
    with TemporaryDirectory() as folder:
        study = asked.study or _swept(Path(folder) / "real")
        outputs = Path(folder) / "copies"
        made = renamed(study, outputs, asked.runs, asked.epochs, asked.rounds)
        started = time.perf_counter()
        report = write_report(made)
        wrote = time.perf_counter() - started
        found = _opened(report) | {"runs": len(load(made).rows), "write_s": round(wrote, 2)}
        found["load"] = round(os.getloadavg()[0], 1)
        found["mb"] = round(report.stat().st_size / 1e6, 3)
    _show(found)


def renamed(study: Path, outputs: Path, runs: int, epochs: int, rounds: int) -> Path:
    """Write a study of `runs` copies of a real one's runs, each copy under names of its own."""
    with (study / "results.csv").open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    store = Store(f"sqlite:///{study.parent.resolve()}/latency.db")
    measured = {m.identity.fingerprint: m for m in store.of({row["fingerprint"] for row in rows})}
    folder = outputs / "copies"
    folder.mkdir(parents=True)
    (folder / "study.json").write_text((study / "study.json").read_text())
    copies = Store(f"sqlite:///{outputs.resolve()}/latency.db")
    written = list(_copies(rows, runs))
    for row, n, factor in written:
        source, key = study.parent / "runs" / row["key"], f"{row['key']}-{n}"
        _copy_run(source, outputs / "runs" / key, epochs)
        copies.add(_copy_measurement(measured[row["fingerprint"]], n, factor, rounds))
        row |= {name: str(float(row[name]) * factor) for name in TIMES}
        row |= {"key": key, "fingerprint": f"{row['fingerprint']}x{n}", "copy": str(n)}
        row["top1"] = str(float(row["top1"]) * (1 - (1 - factor) / 2))
    names = list(rows[0])
    header = [*names[:3], "copy", *names[3:]]
    with (folder / "results.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, header)
        writer.writeheader()
        writer.writerows(row for row, _, _ in written)
    return folder


def _copies(rows: list[dict[str, str]], runs: int) -> Iterator[tuple[dict[str, str], int, float]]:
    """Yield (row, number of its copy, factor of its numbers) of finished runs."""
    finished = [row for row in rows if row["state"] == "finished"]
    most = max(runs // len(finished), 1)
    for i in range(runs):
        n = i // len(finished)
        yield dict(finished[i % len(finished)]), n, 1 - SPREAD * (n / most)


def _copy_run(source: Path, target: Path, epochs: int) -> None:
    target.mkdir(parents=True)
    for name in ("config.yaml", "certificate.json"):
        (target / name).write_text((source / name).read_text())
    records = [json.loads(line) for line in (source / "metrics.jsonl").read_text().splitlines()]
    longer = (records[epoch * len(records) // epochs] | {"epoch": epoch} for epoch in range(epochs))
    (target / "metrics.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in longer))


def _copy_measurement(one: Measurement, n: int, factor: float, rounds: int) -> Measurement:
    wanted = rounds * max(one.samples_per_round, 1)
    times = -(-wanted // len(one.samples_ms))
    scaled = {name: getattr(one, name) * factor for name in TIMES}
    return replace(
        one,
        identity=replace(one.identity, fingerprint=f"{one.identity.fingerprint}x{n}"),
        samples_ms=tuple(ms * factor for ms in (one.samples_ms * times)[:wanted]),
        reference_samples_ms=(one.reference_samples_ms * times)[:wanted],
        **scaled,
    )


def _opened(report: Path) -> dict[str, float]:
    """Open it in new tabs of one browser; the first warms it up. Medians, in s."""
    with browser() as unwatched:
        found = [_open_once(unwatched, report) for _ in range(OPENINGS + 1)][1:]
    return {name: round(median(one[name] for one in found), 3) for name in found[0]}


def _open_once(unwatched: Unwatched, report: Path) -> dict[str, float]:
    """Return when text was painted, table and filters worked, what is in sight was drawn."""
    with unwatched.opened(report, SETTLE_S) as (page, ms):
        # Printing draws every figure at once, those of the first sight anew.
        print_it = "const t = performance.now(); dispatchEvent(new Event('beforeprint'));"
        rest = page.evaluate(f"(() => {{ {print_it} return performance.now() - t; }})()")
        assert page.locator("#tradeoff .points path.point").count() > 0
    return {
        "text_s": ms["paint"] / 1e3,
        "usable_s": ms["usable"] / 1e3,
        "held_s": ms["held"] / 1e3,
        "open_s": ms["drawn"] / 1e3,
        "all_figures_s": (ms["drawn"] + rest) / 1e3,
    }


def _show(found: dict[str, float]) -> None:
    print(f"a report of {found['runs']} runs, made from a real study's records by renaming them")
    print(f"  size                        {found['mb']:6.2f} MB   limit {LIMIT_MB} MB")
    print(f"  text can be read after      {found['text_s']:6.2f} s    load {found['load']} here")
    print(f"  table and filters work      {found['usable_s']:6.2f} s    limit {LIMIT_S} s")
    print(f"    then held, while plotly loads {found['held_s']:.2f} s")
    print(f"  figures in sight are drawn  {found['open_s']:6.2f} s    limit {LIMIT_S} s")
    print(
        f"  all figures are drawn       {found['all_figures_s']:6.2f} s    (else when scrolled to)"
    )
    print(f"  written in                  {found['write_s']:6.2f} s")
    limits = {"limit_mb": LIMIT_MB, "limit_s": LIMIT_S, "openings": OPENINGS}
    kept = found["mb"] < LIMIT_MB and found["open_s"] < LIMIT_S
    print(json.dumps({"benchmark": "report", **found, **limits, "within": kept}))


def _swept(outputs: Path) -> Path:
    launch = Path(__file__).parents[1] / "launch.py"
    words = [*WORDS, f"outputs={outputs}", "study=real"]
    subprocess.run([sys.executable, str(launch), *words], check=True)
    return outputs / "real"


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.report",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    study = "a real study's folder, with its runs and latency.db beside it; without: sweep one"
    parser.add_argument("--study", type=Path, metavar="FOLDER", help=study)
    for name, default in (("runs", 500), ("epochs", 300), ("rounds", 200)):
        meaning = f"how many (default: {default})"
        parser.add_argument(f"--{name}", type=int, default=default, metavar="N", help=meaning)
    return parser.parse_args()


if __name__ == "__main__":
    main()
