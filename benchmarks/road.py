"""How long the road takes: the demo, its repetition, `--help`, and each step before training.

    python -m benchmarks.road              everything, about five minutes on two cores
    python -m benchmarks.road --no-demo    without the demo

`--help` is compared with an empty Hydra app's, interleaved, as a ratio of medians.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from repghost.provenance import commit

LAUNCH = Path(__file__).parents[1] / "launch.py"
DEMO = ("-m", "model.reparam=bn,id,dconv")
EMPTY_APP = """
import hydra
@hydra.main(version_base="1.3")
def main(config): ...
main()
"""
ROUNDS = 9
Row = tuple[str, float, str]


def main() -> None:
    """Print the table, then the figures as one JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--no-demo", action="store_true", help="leave out the demo and its rerun")
    arguments = parser.parse_args()
    rows = [*_help(), *_steps(32), *_steps(224)]
    rows = rows if arguments.no_demo else [*_demo(), *rows]
    table = Table("what", "measured", "goal", title=f"the road, commit {commit()}")
    for name, value, goal in rows:
        table.add_row(name, f"{value:.2f}", goal)
    Console(width=110).print(table)
    print(json.dumps({name: round(value, 3) for name, value, _ in rows} | {"commit": commit()}))


def _demo() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        first = _timed([str(LAUNCH), *DEMO], Path(folder))
        again = _timed([str(LAUNCH), *DEMO], Path(folder))
    return [("demo, s", first, "< 240"), ("demo again, s", again, "< 10")]


def _help() -> list[Row]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "empty.py").write_text(EMPTY_APP)
        ours, empty = [], []
        for _ in range(ROUNDS):
            ours.append(_timed([str(LAUNCH), "--help"], folder))
            empty.append(_timed(["empty.py", "--help"], folder))
    ratio = statistics.median(ours) / statistics.median(empty)
    return [
        ("launch.py --help, s", statistics.median(ours), ""),
        ("an empty Hydra app's --help, s", statistics.median(empty), ""),
        ("--help, ratio to the empty app", ratio, "<= 1.3"),
    ]


def _steps(size: int) -> list[Row]:
    """Time the steps of RepGhostNet 1.0x before training, imports not counted."""
    import torch

    from repghost.deploy.certificate import certify, spread_statistics
    from repghost.deploy.export import export
    from repghost.deploy.fingerprint import fingerprint
    from repghost.deploy.fuse import fuse
    from repghost.models.registry import build
    from repghost.models.repghost_spec import RepGhostNetSpec

    with tempfile.TemporaryDirectory() as name:
        onnx, mnn = Path(name) / "model.onnx", Path(name) / "model.mnn"
        image = (3, size, size)
        fused = fuse(build(RepGhostNetSpec(width=1.0)).eval(), image)
        inputs = torch.randn(16, *image)

        def prepare() -> None:
            spread = spread_statistics(build(RepGhostNetSpec(width=1.0)).eval(), 0, image)
            certify(spread, fuse(spread, image), mnn, inputs)
            fingerprint(onnx)

        converting = _median(lambda: export(fused, (1, 3, size, size), onnx, mnn))
        preparing = _median(prepare)
    return [
        (f"build + fuse + certify + fingerprint, 1.0x at {size}, s", preparing, "< 2"),
        (f"export + convert, 1.0x at {size}, s", converting, "< 2"),
    ]


def _median(step: Callable[[], None]) -> float:
    """Return the median seconds of five calls after one that is not counted."""
    step()
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def _timed(words: Sequence[str], folder: Path) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, *words], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
