"""The columns of a shard: those of an image data set of Hugging Face `datasets`."""

import json
from typing import Any

import pyarrow as pa

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
COLUMNS = [("image", IMAGE), ("label", pa.int64()), ("height", pa.int32()), ("width", pa.int32())]
BINARY = {
    "bytes": {"dtype": "binary", "_type": "Value"},
    "path": {"dtype": "string", "_type": "Value"},
}


def schema_of(encoding: str, classes: tuple[str, ...] | None) -> pa.Schema:
    """Return the schema of shards; its metadata lets `datasets` decode JPEGs and name classes.

    `image.bytes` holds a JPEG, or with encoding "raw" the pixels (height, width, 3), uint8.
    """
    label: dict[str, Any] = {"dtype": "int64", "_type": "Value"}
    features = {
        "image": {"_type": "Image"} if encoding == "jpeg" else BINARY,
        "label": {"names": list(classes), "_type": "ClassLabel"} if classes else label,
        "height": {"dtype": "int32", "_type": "Value"},
        "width": {"dtype": "int32", "_type": "Value"},
    }
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    return pa.schema(COLUMNS, metadata=metadata)
