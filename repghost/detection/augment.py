"""Random changes of an image and of what is on it; boxes and masks go with the pixels."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.ops import box_area, clip_boxes_to_image
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional

from repghost.training.spec import RecipeSpec

Target = dict[
    str, Tensor
]  # boxes (K, 4), labels (K,) from 0 on, image_id (), perhaps masks (K,H,W)
VISIBLE = 0.5  # of a box: an object of which less is left in the frame is not learnt from


@dataclass(frozen=True)
class Augmentation:
    """A mirror image with probability `hflip`; other sizes and colours by up to the given shares.

    `scale_jitter=0.5` draws a size between 1/1.5 and 1.5, evenly in its logarithm. `color_jitter`
    is timm's: brightness, contrast and saturation each by a factor of up to 1 ± that. What is drawn
    depends on torch's random state alone.
    """

    hflip: float
    scale_jitter: float
    color_jitter: float

    @classmethod
    def of(cls, recipe: RecipeSpec) -> "Augmentation":
        """Return it as a recipe asks for it."""
        return cls(recipe.hflip, recipe.scale_jitter, recipe.color_jitter)

    def __call__(self, image: Tensor, target: Target) -> tuple[Tensor, Target]:
        """Return a changed uint8 image `(3, H, W)` of the same size, and what is on it."""
        if torch.rand(()) < self.hflip:
            image, target = flipped(image, target)
        if self.scale_jitter:
            most = math.log1p(self.scale_jitter)
            image, target = scaled(image, target, math.exp(most * (2 * torch.rand(()).item() - 1)))
        if self.color_jitter:
            image = v2.ColorJitter(*[self.color_jitter] * 3)(image)
        return image, target


def flipped(image: Tensor, target: Target) -> tuple[Tensor, Target]:
    """Return image, boxes and masks mirrored left to right."""
    width = image.shape[-1]
    x1, y1, x2, y2 = target["boxes"].unbind(1)
    mirrored = target | {"boxes": torch.stack([width - x2, y1, width - x1, y2], 1)}
    if "masks" in target:
        mirrored["masks"] = target["masks"].flip(-1)
    return image.flip(-1), mirrored


def scaled(image: Tensor, target: Target, factor: float) -> tuple[Tensor, Target]:
    """Return the image `factor` times as large behind a frame of its own size.

    Of a larger one a random part is seen; a smaller one stands somewhere on its mean colour.
    Objects of which less than half is left are left out.
    """
    sides = image.shape[1:]
    new = [max(1, round(side * factor)) for side in sides]
    top, left = (_start(larger - side) for larger, side in zip(new, sides, strict=True))

    frame = (top, left, *sides)
    inside = functional.crop(torch.ones(1, *new, dtype=torch.bool), *frame)
    ground = image.float().mean((1, 2)).round().to(image.dtype)[:, None, None]
    larger = functional.crop(functional.resize(image, new, antialias=True), *frame)  # 0 outside
    factors = [after / before for after, before in zip(new, sides, strict=True)]
    boxes = target["boxes"] * torch.tensor(factors[::-1] * 2) - torch.tensor([left, top] * 2)
    within = clip_boxes_to_image(boxes, (sides[0], sides[1]))
    kept = box_area(within) >= VISIBLE * box_area(boxes)
    changed = target | {"boxes": within[kept], "labels": target["labels"][kept]}
    if "masks" in target:
        masks = functional.resize(target["masks"], new, InterpolationMode.NEAREST)
        changed["masks"] = functional.crop(masks, *frame)[kept]
    return torch.where(inside, larger, ground), changed


def _start(room: int) -> int:
    """Return where a frame begins on a line that is `room` longer than it, or shorter."""
    least, most = min(room, 0), max(room, 0)
    return int(torch.randint(least, most + 1, ()))
