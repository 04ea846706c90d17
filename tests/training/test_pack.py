"""Packed folders: what is in them, what was left out, and that a kill or damage costs one shard."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pytest
import torch
from imagefolder import CLASSES, CMYK, CORRUPT, CUT, GREY, HUGE, TINY

from repghost.training import pack_command, packing
from repghost.training.crops import as_image
from repghost.training.data import open_source
from repghost.training.pack import main
from repghost.training.pack_index import PackSpec, find_index
from repghost.training.packed import Packed
from repghost.training.packing import encoded, sha256
from repghost.training.pictures import training_pictures
from repghost.training.spec import DataSpec, RecipeSpec

CPU = torch.device("cpu")
RECIPE = RecipeSpec(batch_size=64, warmup_epochs=0, hflip=0.5, scale_min=0.08)
SHORT = 64
SCRIPT = """
import sys
from repghost.training import pack_command
from repghost.training.pack import main
pack_command.LEAST_IN_SHARD = 20
sys.exit(main(sys.argv[1:]))
"""


def words(source: Path, out: Path, *others: str) -> list[str]:
    return ["data=folder", f"data.root={source}", f"out={out}", f"short={SHORT}", *others]


def spec(root: Path, **values) -> DataSpec:
    return DataSpec("folder", str(root), **{"input_size": 56, "decode": "fast", **values})


def checksums(out: Path) -> dict[str, str]:
    return {path.name: sha256(path) for path in sorted(out.glob("*.arrow"))}


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(pack_command, "LEAST_IN_SHARD", 20)


@pytest.fixture(scope="module")
def packs(image_folder, tmp_path_factory) -> dict[str, Path]:
    """The image folder packed as JPEG and as raw pixels."""
    folder = tmp_path_factory.mktemp("packs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pack_command, "LEAST_IN_SHARD", 20)
        for encoding in ("jpeg", "raw"):
            out = folder / encoding
            assert main(words(image_folder, out, f"encoding={encoding}", "workers=2")) == 0
    return {encoding: folder / encoding for encoding in ("jpeg", "raw")}


@pytest.fixture
def pack(packs, tmp_path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(packs["jpeg"], tmp_path / "pack"))


def test_a_pack_has_every_image_that_can_be_read_and_names_the_others(packs):
    for out in packs.values():
        index = find_index(out)
        assert index is not None
        assert (index.images("train"), index.images("val")) == (305, 60)
        left_out = {one.name: one.reason for one in index.skipped("train")}
        assert left_out.keys() == {f"train/{CORRUPT}", f"train/{CUT}"}
        assert "cannot identify" in left_out[f"train/{CORRUPT}"]
        assert "truncated" in left_out[f"train/{CUT}"]
        assert index.classes == tuple(sorted(CLASSES))
        assert len(index.shards["train"]) == 16


@pytest.mark.parametrize("encoding", ["jpeg", "raw"])
def test_images_have_their_class_and_the_short_side_asked_for_and_are_never_enlarged(
    packs, image_folder, encoding
):
    index = find_index(packs[encoding])
    packed = Packed(index, "train")
    originals = training_pictures(spec(image_folder))
    readable = {originals.name(i): i for i in range(len(originals))}
    for row in range(len(packed)):
        content, label = packed.content(row)
        path = packed.name(row).split("train/")[1]
        original = originals.content(readable[str(image_folder / "train" / path)])
        width, height = as_image(content).size
        assert label == original[1]
        assert min(width, height) == min(SHORT, min(as_image(original[0]).size)), path
        assert path not in (CORRUPT, CUT)


def test_a_training_reads_a_pack_by_its_folder_and_sees_the_same_classes(packs, image_folder):
    for root in packs.values():
        assert spec(root, num_classes=None).counted().num_classes == 10
        batches = list(open_source(spec(root), RECIPE, 0).train(0, 0))
        assert [len(batch.on(CPU)) for batch in batches] == [64] * 4
        assert not any(batch.skipped for batch in batches)
        found, original = (
            torch.cat([batch.targets for batch in open_source(spec(r), RECIPE, 0).val()])
            for r in (root, image_folder)
        )
        assert torch.equal(found, original)


@pytest.mark.parametrize("decode", ["timm", "fast"])
def test_validation_from_raw_pixels_is_that_from_the_files_to_the_bit(packs, image_folder, decode):
    values = {"decode": decode, "crop_pct": 56 / SHORT}
    for one, other in zip(
        *(open_source(spec(r, **values), RECIPE, 0).val() for r in (packs["raw"], image_folder)),
        strict=True,
    ):
        assert torch.equal(one.on(CPU), other.on(CPU))


@pytest.mark.parametrize("encoding", ["jpeg", "raw"])
@pytest.mark.parametrize("decode", ["timm", "fast"])
def test_batches_of_a_pack_do_not_depend_on_workers_or_the_first_step(packs, encoding, decode):
    root = packs[encoding]
    whole = list(open_source(spec(root, decode=decode), RECIPE, 1).train(2, 1))
    rest = list(open_source(spec(root, decode=decode, workers=2), RECIPE, 1).train(2, 2))
    for one, other in zip(whole[1:], rest, strict=True):
        assert torch.equal(one.on(CPU), other.on(CPU))


def test_a_shard_is_an_arrow_stream_with_the_columns_that_datasets_reads(packs):
    path = packs["jpeg"] / "train-00000.arrow"
    table = pa.ipc.open_stream(pa.memory_map(str(path))).read_all()
    row = table.slice(0, 1).to_pylist()[0]
    assert row["image"]["path"].startswith("train/n")
    assert as_image(row["image"]["bytes"]).size == (row["width"], row["height"])
    features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    assert features["image"] == {"_type": "Image"}
    assert features["label"]["names"] == sorted(CLASSES)
    assert features.keys() == set(table.column_names)


def test_a_jpeg_that_is_small_enough_is_kept_as_it_is_unless_the_fast_decoder_cannot(image_folder):
    for name, kept in ((TINY, True), (GREY, True), (CMYK, False)):
        content = (image_folder / "train" / name).read_bytes()
        assert (encoded(content, PackSpec(short=0))[0] == content) is kept
    content = (image_folder / "train" / HUGE).read_bytes()
    assert encoded(content, PackSpec(short=30))[1:] == (30, 40)


def test_a_pack_that_is_killed_goes_on_with_what_is_missing_and_ends_the_same(
    packs, image_folder, tmp_path
):
    out = tmp_path / "pack"
    command = [sys.executable, "-c", SCRIPT, *words(image_folder, out, "workers=2")]
    process = subprocess.Popen(command, start_new_session=True)
    wait_for(lambda: len(list(out.glob("packing/train-*.json"))) >= 3)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    wait_for(lambda: not alive(process.pid))
    assert not (out / "index.json").exists()
    with pytest.raises(ValueError, match=r"packing was not finished; run its command again"):
        spec(out).counted()
    made = {path.name: path.stat().st_mtime_ns for path in out.glob("*.arrow")}
    assert 3 <= len(made) < 19
    assert main(words(image_folder, out, "workers=2")) == 0
    again = {path.name: path.stat().st_mtime_ns for path in out.glob("*.arrow")}
    noted = [name for name in made if again[name] == made[name]]
    assert len(noted) >= 3
    assert checksums(out) == checksums(packs["jpeg"])
    assert not list(out.glob(".*.tmp")) and not (out / "packing").exists()


def wait_for(condition, timeout_s: float = 20) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def alive(session: int) -> bool:
    """Whether a process of the session is left, be it only ending."""
    return subprocess.run(["pgrep", "--session", str(session)], capture_output=True).returncode == 0


def test_a_damaged_shard_is_found_named_and_made_again(packs, pack, image_folder, capsys):
    path = pack / "train-00004.arrow"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    (pack / "val-00001.arrow").unlink()
    assert main(words(image_folder, pack, "check=true")) == 1
    said = capsys.readouterr().out
    assert "train-00004.arrow: missing, damaged" in said and "val-00001.arrow" in said
    assert "19 shards, 2 of them to be packed again" in said
    assert main(words(image_folder, pack)) == 0
    assert "19 shards, 17 of them were there" in capsys.readouterr().out
    assert checksums(pack) == checksums(packs["jpeg"])
    assert main(words(image_folder, pack, "check=true")) == 0


@pytest.mark.parametrize("damage", ["missing", "short"])
def test_a_training_refuses_a_pack_without_all_of_its_shards(pack, damage):
    path = pack / "val-00000.arrow"
    path.unlink() if damage == "missing" else path.write_bytes(b"rest")
    found = "missing" if damage == "missing" else "4 bytes"
    with pytest.raises(
        ValueError, match=rf"val-00000\.arrow: {found}, expected [\d,]+ bytes; pack"
    ):
        open_source(spec(pack), RECIPE, 0)


def test_images_that_were_added_are_packed_and_the_other_shards_are_kept(
    image_folder, tmp_path, capsys
):
    folder, out = tmp_path / "folder", tmp_path / "pack"
    shutil.copytree(image_folder, folder)
    assert main(words(folder, out)) == 0
    shutil.copy(folder / "train" / GREY, folder / "train" / CLASSES[-1] / "zzz.JPEG")
    assert main(words(folder, out)) == 0
    assert "19 shards, 18 of them were there" in capsys.readouterr().out
    assert find_index(out).images("train") == 306


def test_a_full_disk_is_one_line_and_keeps_the_shards_that_are_done(
    packs, image_folder, tmp_path, monkeypatch, capsys
):
    out, real = tmp_path / "pack", packing.write_rows

    def full(path, rows, *rest):
        if "00003" in path.name:
            raise OSError(28, "No space left on device", str(path))
        return real(path, rows, *rest)

    monkeypatch.setattr(packing, "write_rows", full)  # the processes are forked
    assert main(words(image_folder, out, "workers=1")) == 1
    assert "error: the disk is full" in capsys.readouterr().err
    monkeypatch.setattr(packing, "write_rows", real)
    assert main(words(image_folder, out)) == 0
    assert "3 of them were there" in capsys.readouterr().out
    assert checksums(out) == checksums(packs["jpeg"])


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["out="], "out=FOLDER is missing"),
        (["short=-1"], "short=-1: must be at least 0"),
        (["short=wide"], "short=wide: expected a whole number"),
        (["check=perhaps"], "check=perhaps: expected true or false"),
        (["encoding=png"], "encoding=png: allowed are jpeg, raw"),
        (["quality=0"], "quality=0: must be in 1 to 100"),
        (["workers=0"], "workers=0: must be at least 1"),
        (["size=256"], "size=256: a word is data=..., data.KEY=... or out=, workers="),
        (["data.rot=x"], "unknown key data.rot"),
        (["data.root=/nowhere"], "data.root=/nowhere: no such folder"),
        (["data=digits"], "data=digits: is bundled and needs no packing"),
        (["check=true"], "nothing is packed there; leave out check=true"),
    ],
)
def test_a_wrong_word_is_one_line_and_exit_code_2(image_folder, tmp_path, capsys, more, said):
    asked = words(image_folder, tmp_path / "pack")
    if more == ["data=digits"]:
        asked = [word for word in asked if not word.startswith("data")]
    assert main([*asked, *more]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and said in error
    assert error.count("\n") == 1


def test_another_packing_into_the_same_folder_is_refused(pack, image_folder, tmp_path, capsys):
    assert main(words(image_folder, pack, "short=40")) == 2
    assert "is packed with short=64 encoding=jpeg quality=90, asked is short=40" in (
        capsys.readouterr().err
    )
    assert main(words(image_folder, image_folder)) == 2
    assert "holds other files; give a new or empty folder" in capsys.readouterr().err


def test_a_folder_without_one_readable_image_is_refused(tmp_path, capsys):
    for split in ("train", "val"):
        (tmp_path / "images" / split / "cat").mkdir(parents=True)
        (tmp_path / "images" / split / "cat" / "a.jpg").write_text("not an image")
    assert main(words(tmp_path / "images", tmp_path / "pack")) == 2
    assert "nothing to pack: no image of train can be read (train/cat/a.jpg" in (
        capsys.readouterr().err
    )
