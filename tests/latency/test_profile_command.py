"""`python -m repghost.latency profile`: its words, what it shows, and what it writes."""

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from repghost.latency.__main__ import main
from repghost.latency.profile import read_profiles

SMALL = ["model.width=0.25", "latency.input_size=32", "latency.batch_size=2", "data.num_classes=10"]


def written(folder: Path) -> dict[str, Path]:
    return {path.suffix: path for path in (folder / "profiles").iterdir()}


def test_without_a_command_it_shows_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "profile" in capsys.readouterr().out


def test_two_files_are_shown_side_by_side_and_written(
    short_mnn: Path, long_mnn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(long_mnn), "--against", str(short_mnn), "--layers", "--rounds", "4"]
    assert main(["profile", *words, "--outputs", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    for said in ("A = chain8", "B = chain4", "Convolution", "slowest", "n = 4", "commit", "µs"):
        assert said in out
    files = written(tmp_path)
    assert [one.network for one in read_profiles(files[".json"])] == ["chain8", "chain4"]
    ElementTree.parse(files[".svg"])
    assert str(files[".json"]) in out and str(files[".svg"]) in out


def test_files_need_no_torch(short_mnn: Path, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from repghost.latency.__main__ import main\n"
        "code = main(sys.argv[1:])\n"
        "assert 'torch' not in sys.modules\n"
        "sys.exit(code)\n"
    )
    words = ["profile", str(short_mnn), "--rounds", "2", "--outputs", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_settings_make_certified_networks_and_the_second_takes_over_all_but_the_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    against = ["--against", "model=repghostnet model.width=0.25 model.shortcut=false"]
    words = ["model=repghostnet", *SMALL, "device=local", *against, "--rounds", "2"]
    code = main(["profile", *words, "--outputs", str(tmp_path)])
    said = capsys.readouterr()
    assert code == 0, said.err
    a, b = read_profiles(written(tmp_path)[".json"])
    assert a.input_shape == b.input_shape == (2, 3, 32, 32)
    assert a.fingerprint and b.fingerprint and a.fingerprint != b.fingerprint
    assert "RepGhostNet" in a.network and len(a.operators) > len(b.operators)
    assert "blocks.0.ghost1.primary.0" in {operator.layer for operator in a.operators}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["ghostnet"], "ghostnet: neither a setting key=value nor a .mnn file"),
        (["nowhere.mnn"], "nowhere.mnn: no such MNN model"),
        (["a.mnn", "model.width=1.0"], "taken as it is, alone, without settings"),
        (["a.mnn", "b.mnn"], "taken as it is, alone, without settings"),
        (["a.mnn", "--rounds", "0"], "--rounds 0: must be a whole number of at least 1"),
        (["a.mnn", "--rounds", "many"], "--rounds: invalid int value: 'many'"),
        (["model=repghostnet", "device=pixel"], "pixel: allowed are local"),
        (["model=nothing"], "model=nothing"),
        (["model=repghostnet", "model.widht=1.0"], "unknown key model.widht"),
        (["model=repghostnet", "model.width=-1"], "model.width=-1"),
        (["model=repghostnet", "--against", "more"], "more: neither a setting"),
        (
            ["model=repghostnet", "model.width=0.5,1.0"],
            "model.width=0.5,1.0: a profile is of one network",
        ),
        ([], "WORD"),
        (["model=repghostnet", "--nonsense"], "--nonsense"),
    ],
)
def test_bad_words_are_one_clear_line_and_exit_code_2(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = main(["profile", *words])
    except SystemExit as end:  # argparse's
        code = end.code
    err = capsys.readouterr().err
    assert code == 2 and said in err
    assert err.startswith("error: ") and err.count("\n") == 1


def test_outputs_that_cannot_be_written_are_one_line(
    short_mnn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    words = [str(short_mnn), "--rounds", "1", "--outputs", str(tmp_path / "file")]
    assert main(["profile", *words]) == 2
    err = capsys.readouterr().err
    assert "--outputs FOLDER" in err and err.count("\n") == 1
