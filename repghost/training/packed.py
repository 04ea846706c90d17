"""Images from packed shards: Arrow files, memory-mapped, read in any order without a copy."""

from bisect import bisect_right
from itertools import accumulate
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from repghost.training.crops import Content
from repghost.training.pack_index import PackIndex, Shard


class Packed:
    """The images of one split; keeps `pictures.Pictures`. A shard is opened when first read."""

    def __init__(self, index: PackIndex, split: str) -> None:
        self._folder, self._shards = index.folder, index.shards[split]
        for shard in self._shards:
            _require_whole(self._folder / shard.file, shard)
        self.classes, self._is_raw = index.classes, index.spec.encoding == "raw"
        self._starts = [0, *accumulate(shard.images for shard in self._shards)]
        self._open: dict[int, _Shard] = {}

    def __len__(self) -> int:
        return self._starts[-1]

    def content(self, index: int) -> tuple[Content, int]:
        """As `Pictures.content`; pixels `(H, W, 3)` of a raw pack, a view on the file's memory."""
        rows, row = self._rows(index)
        stored = rows.stored(row)
        if self._is_raw:
            return stored.reshape(rows.heights[row], rows.widths[row], 3), int(rows.labels[row])
        return stored.data, int(rows.labels[row])

    def name(self, index: int) -> str:
        """Return the shard and the path that the image had when it was packed."""
        rows, row = self._rows(index)
        shard = self._shards[bisect_right(self._starts, index) - 1]
        return f"{self._folder / shard.file}: {rows.path(row)}"

    def _rows(self, index: int) -> tuple["_Rows", int]:
        """Return the batch of rows that holds an image, and its place in there."""
        number = bisect_right(self._starts, index) - 1
        if number not in self._open:
            self._open[number] = _Shard(self._folder / self._shards[number].file)
        return self._open[number].rows(index - self._starts[number])


class _Shard:
    """An open shard: its batches of rows, and where each begins."""

    def __init__(self, path: Path) -> None:
        try:
            batches = list(pa.ipc.open_stream(pa.memory_map(str(path))))
        except pa.ArrowInvalid as error:
            raise ValueError(f"{path}: damaged ({error}); pack again to mend it") from error
        self._batches = [_Rows(batch) for batch in batches]
        self._starts = [0, *accumulate(batch.num_rows for batch in batches)]

    def rows(self, row: int) -> tuple["_Rows", int]:
        number = bisect_right(self._starts, row) - 1
        return self._batches[number], row - self._starts[number]


class _Rows:
    """One record batch as arrays on the file's memory."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        image = batch.column("image")
        stored = image.field("bytes")
        _, offsets, data = stored.buffers()
        self._offsets = np.frombuffer(offsets, np.int32)
        self._data = np.frombuffer(data, np.uint8)
        self._paths = image.field("path")
        self.labels, self.heights, self.widths = (
            batch.column(name).to_numpy() for name in ("label", "height", "width")
        )

    def stored(self, row: int) -> NDArray[np.uint8]:
        return self._data[self._offsets[row] : self._offsets[row + 1]]

    def path(self, row: int) -> str:
        return str(self._paths[row].as_py())


def _require_whole(path: Path, shard: Shard) -> None:
    size_bytes = path.stat().st_size if path.exists() else None
    if size_bytes != shard.size_bytes:
        found = "missing" if size_bytes is None else f"{size_bytes:,} bytes"
        raise ValueError(
            f"{path}: {found}, expected {shard.size_bytes:,} bytes; pack again with the same words"
            " to mend it"
        )
