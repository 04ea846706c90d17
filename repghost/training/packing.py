"""Writing packed shards: one Arrow file after the other, each whole and checked or not there."""

import hashlib
import io
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import simplejpeg
from PIL import Image

from repghost.atomic import read_json, replace_file, write_json
from repghost.training.crops import UNREADABLE, Content, as_image
from repghost.training.pack_index import UNFINISHED, PackSpec, Shard, Skipped
from repghost.training.pack_schema import schema_of
from repghost.training.pictures import Pictures

FLUSH_BYTES = 64 * 2**20  # of images in memory before they are written
Row = tuple[bytes, str, int, int, int]  # bytes, path, label, height, width


@dataclass(frozen=True)
class Task:
    """A shard to be made: rows `start` to `stop` of the images of `split`."""

    split: str
    number: int
    start: int
    stop: int

    @property
    def file(self) -> str:
        """The shard's file name."""
        return f"{self.split}-{self.number:05}.arrow"


@dataclass
class Packer:
    """Makes the shards of one packed folder; `known` are those of a finished one.

    Images are called by their path below `root`.
    """

    folder: Path
    spec: PackSpec
    root: Path
    pictures: dict[str, Pictures]
    known: dict[str, Shard]

    def pack(self, task: Task) -> tuple[Shard, bool]:
        """Return the shard of `task`, the one that is there if it is whole; was it made now?

        Raises:
            OSError: it cannot be written, such as on a full disk.
        """
        shard = self.whole(task)
        return (shard, False) if shard else (self._make(task), True)

    def whole(self, task: Task) -> Shard | None:
        """Return the shard that is there, if its checksum holds and its images are the same."""
        path, source = self.folder / task.file, self._source(task)
        size_bytes = path.stat().st_size if path.exists() else None
        for shard in (self._noted(task), self.known.get(task.file)):
            if shard and (shard.source, shard.size_bytes) == (source, size_bytes):
                return shard if sha256(path) == shard.sha256 else None
        return None

    def _make(self, task: Task) -> Shard:
        path, skipped = self.folder / task.file, list[Skipped]()
        schema = schema_of(self.spec.encoding, self.pictures["train"].classes)
        try:
            replace_file(path, lambda draft: write_rows(draft, self._rows(task, skipped), schema))
        except OSError as error:  # Arrow's does not say which file
            raise OSError(error.errno, error.strerror or str(error), str(path)) from error
        shard = Shard(
            task.file,
            images=task.stop - task.start - len(skipped),
            size_bytes=path.stat().st_size,
            sha256=sha256(path),
            source=self._source(task),
            skipped=tuple(skipped),
        )
        write_json(self._note(task), asdict(shard))
        return shard

    def _rows(self, task: Task, skipped: list[Skipped]) -> Iterator[Row]:
        """Yield what is stored of each image; one that cannot be read goes to `skipped`."""
        for index in range(task.start, task.stop):
            name = self._name(task.split, index)
            try:
                content, label = self.pictures[task.split].content(index)
                stored, height, width = encoded(content, self.spec)
            except UNREADABLE as error:
                skipped.append(Skipped(name, f"{type(error).__name__}: {error}"))
                continue
            yield stored, name, label, height, width

    def _source(self, task: Task) -> str:
        """Return a digest of how and from which images a shard is made."""
        names = (self._name(task.split, index) for index in range(task.start, task.stop))
        said = "\n".join([repr(self.spec), *names])
        return hashlib.sha256(said.encode()).hexdigest()

    def _name(self, split: str, index: int) -> str:
        name = self.pictures[split].name(index)
        return os.path.relpath(name, self.root) if Path(name).is_absolute() else name

    def _note(self, task: Task) -> Path:
        return (self.folder / UNFINISHED / task.file).with_suffix(".json")

    def _noted(self, task: Task) -> Shard | None:
        values = read_json(self._note(task))
        return Shard.from_dict(values) if values else None


def encoded(content: Content, spec: PackSpec) -> tuple[bytes, int, int]:
    """Return what is stored of an image, its height and its width.

    A JPEG that is small enough is stored as it is. Nothing is enlarged.

    Raises:
        OSError, ValueError, SyntaxError, Image.DecompressionBombError: it cannot be read.
    """
    image = as_image(content)
    smaller = resized(image, spec.short)
    if spec.encoding == "raw":
        return np.asarray(smaller).tobytes(), smaller.height, smaller.width
    if smaller is image and isinstance(content, bytes | memoryview) and _is_plain_jpeg(content):
        return bytes(content), image.height, image.width
    file = io.BytesIO()
    smaller.save(file, "JPEG", quality=spec.quality)
    return file.getvalue(), smaller.height, smaller.width


def resized(image: Image.Image, short: int) -> Image.Image:
    """Return an image whose short side is `short`, by the rule and filter of timm's validation.

    One that is not larger, and any where `short` is 0, is returned as it is.
    """
    least = min(image.size)
    if short == 0 or least <= short:
        return image
    width, height = (short if side == least else int(short * side / least) for side in image.size)
    return image.resize((width, height), Image.Resampling.BICUBIC)


def write_rows(path: Path, rows: Iterator[Row], schema: pa.Schema) -> None:
    """Write rows as an Arrow stream of record batches of some 64 MB."""
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, schema) as stream:
        held, held_bytes = list[Row](), 0
        for row in rows:
            held.append(row)
            held_bytes += len(row[0])
            if held_bytes >= FLUSH_BYTES:
                stream.write_batch(_batch(held, schema))
                held, held_bytes = [], 0
        if held:
            stream.write_batch(_batch(held, schema))


def sha256(path: Path) -> str:
    """Return the checksum of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _batch(rows: list[Row], schema: pa.Schema) -> pa.RecordBatch:
    stored, paths, labels, heights, widths = zip(*rows, strict=True)
    image = pa.StructArray.from_arrays(
        [pa.array(stored, pa.binary()), pa.array(paths, pa.string())],
        fields=list(schema.field("image").type),
    )
    numbers = (pa.array(labels, pa.int64()), pa.array(heights, pa.int32()))
    return pa.record_batch([image, *numbers, pa.array(widths, pa.int32())], schema=schema)


def _is_plain_jpeg(content: bytes | memoryview) -> bool:
    """Whether the fast decoder takes it: a JPEG in grey or colour, not in CMYK."""
    try:
        *_, colours, _ = simplejpeg.decode_jpeg_header(content)
    except ValueError:
        return False
    return colours in ("Gray", "YCbCr", "RGB")
