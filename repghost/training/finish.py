"""The last step of an image's way, on the device: uint8 pixels to what the network takes.

Flip, colour jitter, normalisation and random erasing of a whole batch. What they do to an image is
drawn beforehand from (seed, epoch, index) and comes with the batch (`Finish`); the noise of an
erased rectangle is made on the device, from a number that comes with it.
"""

from dataclasses import dataclass

import torch
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor

GREY = (19595 / 65536, 38470 / 65536, 7471 / 65536)  # ITU-R 601, as Pillow
BRIGHTNESS, CONTRAST, SATURATION = range(3)


@dataclass
class Finish:
    """What is left to do to a batch of N images of which K are erased.

    `flips` `(N,)` bool. `factors` `(N, 3)` of brightness, contrast and saturation and `order`
    `(N, 3)`, which of them comes first, second, third; both None without colour jitter. `erased`
    `(K, 6)`: row in the batch, top, left, height, width in pixels, and the seed of the noise.
    """

    flips: Tensor
    factors: Tensor | None
    order: Tensor | None
    erased: Tensor

    def first(self, count: int) -> "Finish":
        """Return what is left to do to the first images."""
        factors, order = (
            None if one is None else one[:count] for one in (self.factors, self.order)
        )
        return Finish(self.flips[:count], factors, order, self.erased[self.erased[:, 0] < count])


def finished(images: Tensor, finish: Finish | None, device: torch.device) -> Tensor:
    """Return images `(N, C, H, W)` on `device`, normalised float32.

    Floats are taken to be finished; uint8 pixels get what is left to do. Without `finish`, as in
    validation, they are normalised with the very operations of timm's transform: the result is
    equal to the bit.
    """
    images = images.to(device, non_blocking=True)
    if images.dtype != torch.uint8:
        return images
    if finish:
        images = _flipped(images, finish.flips)
    pixels = images.to(torch.float32, memory_format=torch.contiguous_format)  # a plane a colour
    if finish and finish.factors is not None and finish.order is not None:
        _jitter(pixels, finish.factors.to(device), finish.order.to(device))
    pixels.div_(255)
    for one, numbers in ((pixels.sub_, IMAGENET_DEFAULT_MEAN), (pixels.div_, IMAGENET_DEFAULT_STD)):
        one(torch.tensor(numbers, device=device)[:, None, None])
    if finish:
        _erase(pixels, finish.erased)
    return pixels


def _flipped(images: Tensor, flips: Tensor) -> Tensor:
    rows = flips.nonzero()[:, 0].to(images.device)
    images = images.clone()
    images[rows] = images[rows].flip(-1)
    return images


def _jitter(pixels: Tensor, factors: Tensor, order: Tensor) -> None:
    """Blend each image with black, its mean grey and its own grey, in the order given for it.

    As torchvision's `ColorJitter` does on Pillow's images: Pillow rounds grey and cuts off the
    fraction of what it blends, which darkens by half a level each time.
    """
    for kind in order.T:
        factor = factors.gather(1, kind[:, None])[..., None, None]
        grey = _grey(pixels)
        mean = grey.mean((2, 3), keepdim=True).round_()
        contrast, saturation = (
            (kind == one).float()[:, None, None, None] for one in (CONTRAST, SATURATION)
        )
        other = grey.mul_(saturation).add_(mean * contrast)
        torch.lerp(other, pixels, factor, out=pixels).clamp_(0, 255).floor_()


def _grey(pixels: Tensor) -> Tensor:
    """(N, 3, H, W) -> (N, 1, H, W)"""
    red, green, blue = (pixels[:, chs : chs + 1] for chs in range(3))
    return (red * GREY[0]).add_(green, alpha=GREY[1]).add_(blue, alpha=GREY[2]).round_()


def _erase(pixels: Tensor, erased: Tensor) -> None:
    """Fill rectangles with normal noise, pixel by pixel."""
    generator = torch.Generator(pixels.device)
    for row, top, left, height, width, seed in erased.tolist():
        noise = torch.randn(
            (pixels.shape[1], height, width),
            generator=generator.manual_seed(seed),
            device=pixels.device,
        )
        pixels[row, :, top : top + height, left : left + width] = noise
