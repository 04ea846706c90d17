"""A batch that does not fit ends the run, which says how many images would."""

import subprocess
import sys

import pytest

from repghost.training.memory import fitting

GIB = 1 << 30


@pytest.mark.parametrize(
    ("measured", "limit", "failed", "fits"),
    [
        ([(128, 3 * GIB), (256, 5 * GIB)], 10 * GIB, 1024, 576),
        ([(128, 3 * GIB), (256, 5 * GIB)], 4 * GIB, 1024, 192),
        ([(128, 3 * GIB), (256, 5 * GIB)], 900 * GIB, 1024, 1016),  # 1024 did not
        ([(128, 3 * GIB)], 4 * GIB, 1024, 128),
        ([(2, GIB), (4, 2 * GIB)], 3 * GIB, 16, 6),
        ([], 4 * GIB, 1024, 0),
    ],
)
def test_what_fits_lies_on_the_line_through_two_smaller_batches(measured, limit, failed, fits):
    assert fitting(measured, limit, failed) == fits


LIMITED = """
import resource, sys, torch
sys.path.insert(0, "tests/training")
from toy_training import network
from repghost.training.data import open_source
from repghost.training.engine import Training
from repghost.training.spec import DataSpec, RecipeSpec
recipe = RecipeSpec(batch_size=1437)
source = open_source(DataSpec(), recipe, 0)
training = Training(network(recipe), source, recipe, 0, torch.device("cpu"))
batch = next(source.train(0, 0))
taken = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + (64 << 20), -1))
training.train_step(batch)
"""


def test_without_memory_half_the_batch_is_proposed():
    done = subprocess.run([sys.executable, "-c", LIMITED], capture_output=True, text=True)
    said = done.stderr.strip().splitlines()[-1]
    assert said.endswith(
        "OutOfMemory: out of memory on this machine with recipe.batch_size=1437:"
        " recipe.batch_size=718 would fit"
    ), done.stderr
