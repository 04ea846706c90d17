"""From what a file or a shard holds to a crop of uint8 pixels, with no more decoded than needed."""

import io
from collections.abc import Callable

import numpy as np
import simplejpeg
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from repghost.training.draws import Box

Pixels = NDArray[np.uint8]  # (H, W, 3)
Content = bytes | memoryview | Pixels | Image.Image  # encoded, or pixels, or opened by a library
Choice = Callable[[int, int], Box]  # from height and width to the box that is wanted
SCALES = (8, 4, 2)  # at which a JPEG can be decoded faster than whole
RESIZE = {  # as Pillow's with antialiasing; the public function copies more
    "bilinear": torch.ops.aten._upsample_bilinear2d_aa.out,
    "bicubic": torch.ops.aten._upsample_bicubic2d_aa.out,
}
UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)


def as_image(content: Content) -> Image.Image:
    """Return an image in RGB, decoded by Pillow where it is not yet.

    Raises:
        OSError, ValueError, SyntaxError, Image.DecompressionBombError: it cannot be read.
    """
    if isinstance(content, np.ndarray):
        return Image.fromarray(content)
    if not isinstance(content, Image.Image):
        content = Image.open(io.BytesIO(content))
    return content.convert("RGB")


def cropped(content: Content, size: int, choose: Choice) -> Pixels:
    """Return the pixels `(h, w, 3)` of the box that `choose` wants of an image.

    A JPEG is decoded at 1/2, 1/4 or 1/8 where the box is at least `size` pixels each way even so.

    Raises:
        OSError, ValueError, SyntaxError, Image.DecompressionBombError: it cannot be read.
    """
    if isinstance(content, bytes | memoryview):
        found = _of_jpeg(content, size, choose)
        if found is not None:
            return found
    pixels = content if isinstance(content, np.ndarray) else np.asarray(as_image(content))
    return _cut(pixels, choose(*pixels.shape[:2]))


def resize_into(pixels: Pixels, interpolation: str, out: Tensor) -> None:
    """Resize `(h, w, 3)` pixels to `out` (1, 3, H, W) uint8 in channels-last memory."""
    image = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None]
    RESIZE[interpolation](image, out.shape[2:], False, out=out)


def _of_jpeg(content: bytes | memoryview, size: int, choose: Choice) -> Pixels | None:
    """Return a JPEG's box; None of what is none, is CMYK or damaged: Pillow decides about those."""
    try:
        height, width, *_ = simplejpeg.decode_jpeg_header(content)
        box = choose(height, width)
        scale = next((s for s in SCALES if min(box.height, box.width) >= s * size), 1)
        least = -(-height // scale), -(-width // scale)
        pixels = simplejpeg.decode_jpeg(content, min_height=least[0], min_width=least[1])
    except ValueError:
        return None
    return _cut(pixels, _scaled(box, height / pixels.shape[0], width / pixels.shape[1]))


def _scaled(box: Box, down: float, across: float) -> Box:
    if down == across == 1:
        return box
    top, left = round(box.top / down), round(box.left / across)
    bottom = round((box.top + box.height) / down)
    return Box(top, left, bottom - top, round((box.left + box.width) / across) - left)


def _cut(pixels: Pixels, box: Box) -> Pixels:
    return pixels[box.top : box.top + box.height, box.left : box.left + box.width]
