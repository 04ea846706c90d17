"""A fused network as TorchScript: written whole, read back the same, refused where it is none."""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn

from repghost.deploy.fuse import fuse
from repghost.deploy.traced import SHAPE, read_traced, write_traced
from repghost.models.registry import build
from repghost.models.repghost_spec import RepGhostNetSpec

SIZE = (2, 3, 32, 32)


@pytest.fixture
def fused() -> nn.Module:
    torch.manual_seed(0)
    spec = RepGhostNetSpec(width=0.25, num_classes=10)
    return fuse(build(spec).eval(), SIZE[1:])


def test_what_is_read_computes_the_same_and_knows_its_input(
    fused: nn.Module, tmp_path: Path
) -> None:
    write_traced(fused, SIZE, tmp_path / "deep" / "a.pt")
    network, shape = read_traced(tmp_path / "deep" / "a.pt")
    assert shape == SIZE and not network.training
    x = torch.randn(SIZE)
    with torch.no_grad():
        wanted = fused(x)
        torch.testing.assert_close(network(x), wanted)
        image = x.to(memory_format=torch.channels_last)  # as a GPU is given it
        there = network.to(memory_format=torch.channels_last)(image)
    torch.testing.assert_close(there, wanted, atol=1e-4, rtol=1e-4)
    assert wanted.std() > 0


def test_a_process_that_knows_nothing_of_the_network_can_run_it(
    fused: nn.Module, tmp_path: Path
) -> None:
    write_traced(fused, SIZE, tmp_path / "a.pt")
    code = (
        "import sys, torch; from pathlib import Path\n"
        "from repghost.deploy.traced import read_traced\n"
        "network, shape = read_traced(Path(sys.argv[1]))\n"
        "print(float(network(torch.ones(shape)).sum()))\n"
        "assert 'repghost.models' not in sys.modules"
    )
    command = [sys.executable, "-W", "error::FutureWarning", "-c", code, str(tmp_path / "a.pt")]
    done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    with torch.no_grad():
        assert float(done.stdout) == pytest.approx(float(fused(torch.ones(SIZE)).sum()), rel=1e-3)


def test_writing_says_nothing_to_the_user(
    fused: nn.Module, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    write_traced(fused, SIZE, tmp_path / "a.pt")
    read_traced(tmp_path / "a.pt")
    assert [str(warning.message) for warning in recwarn] == []


def test_an_input_that_does_not_fit_is_refused_and_leaves_no_file(
    fused: nn.Module, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"cannot take an input of \(1, 32, 32\)"):
        write_traced(fused, (2, 1, 32, 32), tmp_path / "a.pt")
    assert list(tmp_path.iterdir()) == []


def test_a_network_that_cannot_be_traced_is_refused_in_one_line(tmp_path: Path) -> None:
    class Words(nn.Module):
        def forward(self, x: torch.Tensor) -> str:
            return "no tensor"

    with pytest.raises(ValueError, match="cannot trace this network") as raised:
        write_traced(Words(), SIZE, tmp_path / "a.pt")
    assert "\n" not in str(raised.value) and list(tmp_path.iterdir()) == []


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"absent\.pt: no such TorchScript network"):
        read_traced(tmp_path / "absent.pt")


@pytest.mark.parametrize("kind", ["noise", "state"])
def test_a_file_that_is_no_torchscript_is_named_in_one_line(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "broken.pt"
    if kind == "noise":
        path.write_bytes(b"this is no network" * 40)
    else:
        torch.save({"weight": torch.ones(3)}, path)
    with pytest.raises(ValueError, match=r"broken\.pt: torch cannot load") as raised:
        read_traced(path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("said", [None, "[1, 3, 0, 32]", "[1, 3]", "many", json.dumps({"a": 1})])
def test_torchscript_that_does_not_say_its_input_is_refused(
    tmp_path: Path, said: str | None
) -> None:
    extra = {} if said is None else {SHAPE: said}
    with warnings.catch_warnings(action="ignore"):
        traced = torch.jit.trace(nn.ReLU(), torch.ones(1, 3, 4, 4))  # type: ignore[no-untyped-call]
        torch.jit.save(traced, tmp_path / "a.pt", _extra_files=extra)
    with pytest.raises(ValueError, match=r"a\.pt: does not say its input shape"):
        read_traced(tmp_path / "a.pt")
